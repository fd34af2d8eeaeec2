"""Where measurements come from, and how late they may be when all is well."""

from datetime import timedelta

import pytest

from foundry_rollouts.core.model.sources import (
    HARMLESS,
    Expectation,
    HttpConfig,
    InsightsConfig,
    LogsConfig,
    OutcomesConfig,
    ProbeConfig,
    PrometheusConfig,
    Sources,
)
from foundry_rollouts.errors import UsageError

SECOND = timedelta(seconds=1)
ALL = Sources(
    outcomes=OutcomesConfig(),
    prometheus=PrometheusConfig("http://p", "calls", "failures", values=(("cost", "query"),)),
    http=HttpConfig("http://h", "/calls", "/failures", values=(("price", "/price"),)),
    application_insights=InsightsConfig("workspace"),
)


def test_the_probe_and_the_logs_are_in_use_unless_they_are_switched_off() -> None:
    assert Sources().names == ("probe", "logs")
    assert Sources(probe=None, logs=None, outcomes=OutcomesConfig()).names == ("outcomes",)
    assert ALL.names == ("probe", "logs", "outcomes", "prometheus", "http", "application-insights")


@pytest.mark.parametrize(
    ("stratum", "seconds"),
    [
        ("probe", 0),
        ("logs", 0),
        ("logs/probe", 0),
        ("outcomes", 0),
        ("prometheus", 45),
        ("prometheus/eu", 45),
        ("http", 35),
        ("application-insights", 240),
    ],
)
def test_a_source_that_is_asked_is_late_by_its_interval_and_its_delay(stratum: str, seconds: int) -> None:
    assert ALL.lag(stratum) == seconds * SECOND
    assert Sources(probe=None, logs=None).lag(stratum) == timedelta(0)


def test_only_sources_that_know_no_sessions_have_clusters_and_they_hold_a_call_at_least() -> None:
    assert [ALL.cluster_of(name) for name in ("probe", "logs/probe", "outcomes")] == [1, 1, 1]
    assert ALL.cluster_of("prometheus") is None
    given = HttpConfig("http://h", "/calls", "/failures", cluster=1)
    assert Sources(http=given).cluster_of("http") == 1
    assert HttpConfig("http://h", "/calls", "/failures", cluster=1000).cluster == 1000
    for wrong in (0.99, 1000.1):
        with pytest.raises(UsageError, match=r"a cluster of .* calls: write at least 1, at most 1000"):
            HttpConfig("http://h", "/calls", "/failures", cluster=wrong)


def test_further_numbers_come_from_the_sources_that_name_them() -> None:
    assert ALL.values_of("prometheus") == {"cost": "query"}
    assert ALL.values_of("http") == {"price": "/price"}
    assert ALL.values_of("probe") == ALL.values_of("application-insights") == {}


def test_what_a_policy_leaves_open_is_modest() -> None:
    probe, logs = ProbeConfig(), LogsConfig()
    assert (probe.prompts, probe.every, probe.pairs) == ((HARMLESS,), 10 * SECOND, 1)
    assert logs.sessions == 50
    assert HARMLESS.name == "hello"
    assert HARMLESS.input == "Hello! Please answer with one short sentence."
    assert HARMLESS.expect == Expectation(status=200)
