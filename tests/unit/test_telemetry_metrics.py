"""Every metric under its own name, and no series that no longer holds."""

import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.signals.streams import Demand, Streams
from foundry_rollouts.telemetry import Delivery, Metrics, Problem
from foundry_rollouts.telemetry.service_metrics import MOST_NAMED
from tools.system_packages import found

PROMISED = {
    "rollouts": {"phase"},
    "rollout_info": {"agent", "canary", "stable", "policy"},
    "rollout_phase": {"agent", "phase"},
    "rollout_step": {"agent"},
    "rollout_step_backs": {"agent"},
    "rollout_step_started_timestamp_seconds": {"agent"},
    "waiting": {"agent", "for"},
    "rollout_verdict": {"agent", "verdict"},
    "weight": {"agent", "version", "role"},
    "gate_value": {"agent", "gate", "role"},
    "gate_threshold": {"agent", "gate"},
    "gate_verdict": {"agent", "gate", "verdict"},
    "decisions_total": {"agent", "decision"},
    "failures_total": {"agent", "source", "role", "kind"},
    "refused_changes_total": {"agent", "change"},
    "rollout_duration_seconds_bucket": {"outcome", "le"},
    "tick_lag_seconds_bucket": {"le"},
    "last_sweep_timestamp_seconds": set(),
    "policies_loaded_timestamp_seconds": set(),
    "database_up": set(),
    "agent_problem": {"agent", "problem"},
    "foundry_requests_total": {"operation", "status"},
    "foundry_request_seconds_bucket": {"operation", "le"},
    "source_errors_total": {"source", "kind"},
    "leases_held": set(),
    "outbox_pending": set(),
    "outbox_oldest_seconds": set(),
    "deliveries_total": {"outcome"},
    "build_info": {"version"},
}

PROGRESSING = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)
#: Two steps of which the first must be proved within a minute and the second is approved.
STEPS = a_policy(steps=(WeightStep(10, max=timedelta(minutes=1)), ApprovalStep(), WeightStep(100)))
ANALYSIS = Analysis(
    Verdict.PASS,
    "well",
    Evidence(),
    (GateReading("error-rate", Verdict.PASS, "well", canary_value=0.02, stable_value=0.01, threshold=0.05),),
)


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text, _ = metrics.render()
    return {
        (sample.name.removeprefix("foundry_rollouts_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def labels_of(metrics: Metrics, name: str) -> list[dict[str, str]]:
    return [dict(labels) for found, labels in samples(metrics) if found == name]


def used() -> Metrics:
    """Return metrics after everything happened once."""
    metrics = Metrics("1.2.3")
    metrics.show(PROGRESSING, ANALYSIS, NOON)
    metrics.show(a_rollout(agent="other", phase=Phase.PAUSED, step=1, started_at=NOON), ANALYSIS, NOON)
    metrics.decided("support-agent", "advance")
    metrics.policies({"support": "5d0c3c1b7a42"}, 0, NOON)
    metrics.problems(Problem.UNPINNED, ["support-agent"])
    metrics.database(is_up=True)
    metrics.change_refused("support-agent", "forward")
    metrics.measured("support-agent", [Measurement("logs", Window(NOON, NOON), canary=Counts(calls=1, failures=1))])
    metrics.ended(a_rollout(id="r-0", phase=Phase.PROMOTED, ended_at=NOON), NOON)
    metrics.routing("support-agent", Routing.of({"1": 90, "2": 10}), "1", "2")
    metrics.phases({Phase.PROGRESSING: 1})
    metrics.tick_lag(0.2)
    metrics.swept(NOON)
    metrics.requested("agents.list", 200, 0.1)
    metrics.source_error("probe", "timeout")
    metrics.leases(1)
    metrics.outbox(0, timedelta(0))
    metrics.delivery(Delivery.DELIVERED)
    return metrics


def test_every_promised_metric_is_there_with_its_labels() -> None:
    found = {name: {label for label, _ in labels} for name, labels in samples(used())}

    assert found.items() >= PROMISED.items()


def test_no_session_request_or_rollout_id_is_a_label() -> None:
    labels = {label for _, pairs in samples(used()) for label, _ in pairs}

    assert labels.isdisjoint({"session", "request", "rollout", "id"})
    assert "r-1" not in {value for _, pairs in samples(used()) for _, value in pairs}


def test_promtool_finds_nothing_to_say() -> None:
    promtool = found("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed here; it is part of Prometheus")
    text, _ = used().render()

    said = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)

    assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


def test_a_rollout_shows_one_phase_of_all() -> None:
    metrics = Metrics()

    metrics.show(PROGRESSING, None, NOON)

    assert value(metrics, "rollout_phase", agent="support-agent", phase="progressing") == 1
    assert value(metrics, "rollout_phase", agent="support-agent", phase="pending") == 0
    assert len(labels_of(metrics, "rollout_phase")) == len(Phase)


def test_a_gate_shows_value_threshold_and_verdict() -> None:
    metrics = Metrics()

    metrics.show(PROGRESSING, ANALYSIS, NOON)

    gate = {"agent": "support-agent", "gate": "error-rate"}
    assert value(metrics, "gate_value", **gate, role="canary") == 0.02
    assert value(metrics, "gate_value", **gate, role="stable") == 0.01
    assert value(metrics, "gate_threshold", **gate) == 0.05
    assert value(metrics, "gate_verdict", **gate, verdict="pass") == 1
    assert value(metrics, "gate_verdict", **gate, verdict="fail") == 0


def test_a_rollout_shows_the_verdict_on_all_gates_and_how_often_it_stepped_back() -> None:
    metrics = Metrics()
    metrics.show(replace(PROGRESSING, step_backs=2), replace(ANALYSIS, verdict=Verdict.STALE), NOON)
    assert value(metrics, "rollout_step_backs", agent="support-agent") == 2
    shown = {pairs["verdict"]: pairs for pairs in labels_of(metrics, "rollout_verdict")}
    assert set(shown) == {verdict.value for verdict in Verdict}
    assert [name for name, pairs in shown.items() if value(metrics, "rollout_verdict", **pairs)] == ["stale"]


def test_a_gate_that_saw_nothing_shows_no_value() -> None:
    metrics = Metrics()
    metrics.show(PROGRESSING, ANALYSIS, NOON)
    silent = GateReading("error-rate", Verdict.NO_DATA, "nothing seen")

    metrics.show(PROGRESSING, replace(ANALYSIS, gates=(silent,)), NOON)

    assert labels_of(metrics, "gate_value") == labels_of(metrics, "gate_threshold") == []
    assert value(metrics, "gate_verdict", agent="support-agent", gate="error-rate", verdict="no-data") == 1


def test_a_new_canary_replaces_the_series_of_the_old_one() -> None:
    metrics = Metrics()
    metrics.show(PROGRESSING, ANALYSIS, NOON)

    metrics.show(a_rollout(id="r-2", canary="3"), None, NOON)

    assert [info["canary"] for info in labels_of(metrics, "rollout_info")] == ["3"]
    assert labels_of(metrics, "gate_value") == []


def test_failures_are_counted_by_kind_and_go_with_their_agent() -> None:
    metrics = Metrics()
    canary, stable = Counts(calls=9, failures=5, rate_limited=2), Counts(calls=9, client_errors=4)
    window = Window(NOON, NOON + timedelta(seconds=5))
    for _ in range(2):
        metrics.measured("support-agent", [Measurement("logs", window, stable, canary)])

    series = {"agent": "support-agent", "source": "logs"}
    assert value(metrics, "failures_total", **series, role="canary", kind="error") == 6
    assert value(metrics, "failures_total", **series, role="canary", kind="rate-limited") == 4
    assert value(metrics, "failures_total", **series, role="stable", kind="client-error") == 8
    assert len(labels_of(metrics, "failures_total")) == 3

    metrics.see(["support-agent"], [], NOON)
    metrics.sweep_series(NOON + timedelta(minutes=10))
    assert labels_of(metrics, "failures_total") == []


def test_series_of_one_agent_leave_those_of_another_alone() -> None:
    metrics = Metrics()
    metrics.show(replace(PROGRESSING, agent="other"), ANALYSIS, NOON)
    metrics.routing("other", Routing.of({"1": 100}), "1", None)
    metrics.show(PROGRESSING, ANALYSIS, NOON)

    metrics.forget("support-agent")

    assert {labels["agent"] for _, pairs in samples(metrics) if "agent" in (labels := dict(pairs))} == {"other"}


def test_a_finished_rollout_is_seen_for_ten_minutes_and_then_no_more() -> None:
    metrics, ended = Metrics(), replace(PROGRESSING, phase=Phase.ROLLED_BACK, ended_at=NOON)
    metrics.show(ended, ANALYSIS, NOON)
    metrics.ended(ended, NOON)

    metrics.sweep_series(NOON + timedelta(minutes=9, seconds=59))
    assert value(metrics, "rollout_phase", agent="support-agent", phase="rolled_back") == 1

    metrics.sweep_series(NOON + timedelta(minutes=10))
    assert [
        name
        for name in PROMISED
        if name.startswith(("rollout_info", "rollout_phase", "rollout_step", "gate")) and labels_of(metrics, name)
    ] == []


def test_the_end_of_one_rollout_does_not_take_the_next_one_away() -> None:
    metrics, ended = Metrics(), replace(PROGRESSING, phase=Phase.ROLLED_BACK, ended_at=NOON)
    metrics.show(ended, None, NOON)
    metrics.ended(ended, NOON)
    metrics.show(a_rollout(id="r-2", canary="3"), None, NOON + timedelta(minutes=1))

    metrics.sweep_series(NOON + timedelta(hours=1))

    assert [info["canary"] for info in labels_of(metrics, "rollout_info")] == ["3"]


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.is_final])
def test_a_duration_is_counted_under_its_outcome(phase: Phase) -> None:
    metrics = Metrics()

    metrics.ended(replace(PROGRESSING, phase=phase, ended_at=NOON + timedelta(minutes=20)), NOON)

    assert value(metrics, "rollout_duration_seconds_sum", outcome=phase.value) == 1200
    counted = [name for name, _ in samples(metrics) if name == "rollout_duration_seconds_count"]
    assert len(counted) == len([phase for phase in Phase if phase.is_final])


def test_a_rollout_that_goes_on_has_no_duration_yet() -> None:
    metrics = Metrics()

    metrics.ended(PROGRESSING, NOON)

    assert {v for (name, _), v in samples(metrics).items() if name == "rollout_duration_seconds_count"} == {0}


def test_weights_carry_their_roles() -> None:
    metrics = Metrics()

    metrics.routing("support-agent", Routing.of({"1": 80, "2": 15, "9": 5}), "1", "2")

    shown = {pairs["version"]: pairs["role"] for pairs in labels_of(metrics, "weight")}
    assert shown == {"1": "stable", "2": "canary", "9": "other"}
    assert value(metrics, "weight", agent="support-agent", version="2", role="canary") == 15


def test_a_version_that_became_stable_keeps_one_series() -> None:
    metrics = Metrics()
    metrics.routing("support-agent", Routing.of({"1": 50, "2": 50}), "1", "2")

    metrics.routing("support-agent", Routing.of({"2": 100}), "2", None)

    assert labels_of(metrics, "weight") == [{"agent": "support-agent", "version": "2", "role": "stable"}]


def test_a_phase_without_rollouts_is_shown_as_nought() -> None:
    metrics = Metrics()

    metrics.phases({Phase.PAUSED: 2})

    assert value(metrics, "rollouts", phase="paused") == 2
    assert value(metrics, "rollouts", phase="pending") == 0


def test_a_request_without_an_answer_is_counted_too() -> None:
    metrics = Metrics()

    metrics.requested("agents.list", None, 5.0)

    assert value(metrics, "foundry_requests_total", operation="agents.list", status="none") == 1


def test_a_scraper_that_speaks_openmetrics_gets_it() -> None:
    text, content_type = used().render("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=x", "application/openmetrics-text;version=x"])
def test_any_other_accept_header_gets_metrics_all_the_same(accept: str) -> None:
    text, content_type = used().render(accept)

    assert b"foundry_rollouts_build_info" in text
    assert content_type


def test_two_registries_do_not_share_anything() -> None:
    one, other = Metrics(), Metrics()

    one.leases(3)

    assert value(other, "leases_held") == 0


def test_the_series_of_an_agent_that_is_gone_go_ten_minutes_later_unless_it_comes_back() -> None:
    metrics = Metrics("test")
    for agent in ("gone", "back", "here"):
        metrics.routing(agent, Routing.of({"1": 100}), "1", None)
        metrics.decided(agent, "hold")
        metrics.change_refused(agent, "back")
    metrics.see(("gone", "back", "here", "never"), {"here"}, NOON)
    metrics.see(("gone", "back", "here", "never"), {"here", "back"}, NOON + timedelta(minutes=5))
    metrics.sweep_series(NOON + timedelta(minutes=9))
    assert b'agent="gone"' in metrics.render()[0]
    metrics.sweep_series(NOON + timedelta(minutes=10))
    text = metrics.render()[0]
    assert b'agent="gone"' not in text
    assert text.count(b'agent="back"') == text.count(b'agent="here"') == 3


@pytest.mark.parametrize(
    ("rollout", "seconds", "waits_for"),
    [
        (PROGRESSING, 30, []),
        (replace(PROGRESSING, policy=STEPS), 59, []),
        (replace(PROGRESSING, policy=STEPS), 60, ["proof"]),
        (replace(PROGRESSING, policy=STEPS, step=2), 60, ["approval"]),
        (replace(PROGRESSING, policy=STEPS, step=2, phase=Phase.PAUSED, paused_at=NOON), 60, ["person"]),
        (a_rollout(is_held=True), 60, ["person"]),
        (a_rollout(), 60, []),
        (replace(PROGRESSING, policy=STEPS, phase=Phase.ROLLED_BACK, ended_at=NOON), 60, []),
    ],
)
def test_a_rollout_waits_for_what_does_not_come_by_itself_or_is_late(
    rollout: Rollout, seconds: int, waits_for: list[str]
) -> None:
    metrics = Metrics("any")
    metrics.show(replace(PROGRESSING, phase=Phase.PAUSED), None, NOON)
    metrics.show(rollout, None, NOON + timedelta(seconds=seconds))
    assert [labels["for"] for labels in labels_of(metrics, "waiting")] == waits_for


def test_a_step_began_when_it_did_and_an_ended_rollout_is_at_none() -> None:
    metrics = Metrics("any")
    metrics.show(PROGRESSING, None, NOON + timedelta(minutes=5))
    name = "rollout_step_started_timestamp_seconds"
    assert value(metrics, name, agent="support-agent") == NOON.timestamp()
    metrics.show(replace(PROGRESSING, phase=Phase.PROMOTED, ended_at=NOON), None, NOON)
    assert value(metrics, name, agent="support-agent") is None


def test_the_first_hundred_agents_with_a_problem_are_named_and_all_are_counted() -> None:
    metrics, names = Metrics("any"), [f"agent-{number:04}" for number in range(10_000)]
    metrics.problems(Problem.UNGOVERNED, names[::-1])
    metrics.problems(Problem.UNREADABLE, names[:1], nameless=1)
    named = {labels["agent"] for labels in labels_of(metrics, "agent_problem") if labels["problem"] == "ungoverned"}
    assert named == set(names[:MOST_NAMED])
    assert (value(metrics, "agents_ungoverned"), value(metrics, "agents_unreadable")) == (10_000, 2)
    metrics.problems(Problem.UNGOVERNED, names[-1:])
    assert {(each["agent"], each["problem"]) for each in labels_of(metrics, "agent_problem")} == {
        (names[-1], "ungoverned"),
        (names[0], "unreadable"),
    }


def test_a_database_counts_as_away_until_it_has_answered() -> None:
    metrics = Metrics("any")
    assert value(metrics, "database_up") == 0
    metrics.database(is_up=True)
    assert value(metrics, "database_up") == 1


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_the_process_is_measured_and_no_series_says_when_a_counter_was_made(accept: str) -> None:
    text = used().render(accept)[0]
    assert b"process_resident_memory_bytes " in text
    assert b"_created" not in text


def test_log_streams_are_counted_at_each_scrape() -> None:
    metrics, streams = Metrics("any"), Streams(lambda: NOON)
    metrics.follow_streams(streams)
    streams.want("r-1", Demand(1, (3, 1)))
    assert streams.take("r-1")
    assert (value(metrics, "log_streams_open"), value(metrics, "log_streams_wanted")) == (1, 4)
    assert value(metrics, "log_streams_limit") == 2000
    streams.give_back()
    assert value(metrics, "log_streams_open") == 0
