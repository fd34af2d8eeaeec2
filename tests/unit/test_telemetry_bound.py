"""Series of agents are bounded: those in trouble come first, and the rest is counted together."""

from dataclasses import replace
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from builders import NOON, a_rollout
from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.telemetry.series import Places, Rank

GATES = (GateReading("error-rate", Verdict.PASS, "well", canary_value=0.02, stable_value=0.01, threshold=0.05),)
WELL = Analysis(Verdict.PASS, "well", Evidence(), GATES)
FAILING = replace(WELL, verdict=Verdict.FAIL)
HALF = Routing.of({"1": 50, "2": 50})


def going(agent: str) -> Rollout:
    return a_rollout(id=f"r-{agent}", agent=agent, phase=Phase.PROGRESSING, step=1, started_at=NOON)


def paused(agent: str) -> Rollout:
    return replace(going(agent), phase=Phase.PAUSED)


def shown(metrics: Metrics) -> set[str]:
    """Return every agent that is a label."""
    text = metrics.render()[0].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.labels["agent"] for sample in samples if "agent" in sample.labels}


def total(metrics: Metrics, name: str, **labels: str) -> float:
    text = metrics.render()[0].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(each.value for each in samples if each.name == f"foundry_rollouts_{name}" and labels == each.labels)


def tick(metrics: Metrics, rollout: Rollout, analysis: Analysis = WELL) -> None:
    metrics.show(rollout, analysis, NOON)
    metrics.routing(rollout.agent, HALF, "1", "2")
    metrics.decided(rollout.agent, "hold")


def test_no_more_agents_have_series_than_the_setting_allows_and_the_rest_is_said() -> None:
    metrics = Metrics("any", most_agents=3)
    for number in range(10):
        tick(metrics, going(f"agent-{number}"))
    assert shown(metrics) - {""} == {"agent-0", "agent-1", "agent-2"}
    assert total(metrics, "rollouts_without_series") == 7
    assert total(metrics, "decisions_total", agent="", decision="hold") == 7


def test_a_rollout_in_trouble_takes_the_series_of_one_that_goes_its_way() -> None:
    metrics = Metrics("any", most_agents=2)
    for agent in ("calm", "well", "held", "harmful"):
        tick(metrics, going(agent))
    tick(metrics, paused("held"))
    tick(metrics, going("harmful"), FAILING)
    assert shown(metrics) - {""} == {"held", "harmful"}
    tick(metrics, paused("calm"))
    assert shown(metrics) - {""} == {"held", "harmful"}
    assert total(metrics, "rollouts_without_series") == 2


def test_an_agent_without_a_rollout_makes_room_for_one_that_has_one() -> None:
    metrics = Metrics("any", most_agents=1)
    metrics.routing("idle", HALF, "1", None)
    tick(metrics, going("busy"))
    metrics.routing("idle", HALF, "1", None)
    assert shown(metrics) == {"busy"}
    assert total(metrics, "rollouts_without_series") == 0


def test_a_place_that_is_free_goes_to_the_next_that_is_ticked() -> None:
    metrics = Metrics("any", most_agents=1)
    tick(metrics, going("first"))
    tick(metrics, going("second"))
    metrics.forget("first")
    tick(metrics, going("second"))
    assert shown(metrics) - {""} == {"second"}
    assert total(metrics, "rollouts_without_series") == 0


def test_a_rollout_that_ends_is_no_longer_counted_among_those_without_series() -> None:
    metrics = Metrics("any", most_agents=1)
    tick(metrics, paused("first"))
    tick(metrics, going("second"))
    ended = replace(going("second"), phase=Phase.PROMOTED, ended_at=NOON + timedelta(minutes=1))
    metrics.show(ended, None, NOON)
    metrics.ended(ended, NOON)
    assert total(metrics, "rollouts_without_series") == 0
    assert total(metrics, "rollout_duration_seconds_count", outcome="promoted") == 1


def test_rollouts_that_ended_together_go_together() -> None:
    metrics = Metrics("any", most_agents=100)
    for number in range(100):
        ended = replace(going(f"agent-{number}"), phase=Phase.ROLLED_BACK, ended_at=NOON)
        metrics.show(ended, None, NOON)
        metrics.ended(ended, NOON)
    metrics.sweep_series(NOON + timedelta(minutes=9))
    assert len(shown(metrics)) == 100
    metrics.sweep_series(NOON + timedelta(minutes=10))
    assert total(metrics, "rollout_step", agent="agent-7") == 0
    assert "rollout_info{" not in metrics.render()[0].decode()


def test_failures_and_refusals_of_the_rest_are_counted_together() -> None:
    metrics, window = Metrics("any", most_agents=0), Window(NOON, NOON)
    for agent in ("one", "two"):
        metrics.measured(agent, [Measurement("logs", window, canary=Counts(calls=3, failures=2))])
        metrics.change_refused(agent, "back")
    assert total(metrics, "failures_total", agent="", source="logs", role="canary", kind="error") == 4
    assert total(metrics, "refused_changes_total", agent="", change="back") == 2


def test_rollbacks_that_nobody_acknowledged_are_named_for_so_many_agents() -> None:
    metrics = Metrics("any", most_agents=2)
    metrics.unacknowledged({"c": 1, "a": 2, "b": 3, "d": 4})
    assert shown(metrics) == {"a", "b", ""}
    assert total(metrics, "unacknowledged_rollbacks", agent="") == 5
    metrics.unacknowledged({"c": 1})
    assert shown(metrics) == {"c"}


def test_places_are_never_more_than_there_are_and_nobody_loses_one_to_an_equal() -> None:
    places = Places(2)
    assert places.take("a", Rank.CALM) == (True, None)
    assert places.take("b", Rank.CALM) == (True, None)
    assert places.take("c", Rank.CALM) == (False, None)
    assert places.take("c", Rank.TROUBLED) == (True, "a")
    assert places.take("a", Rank.TROUBLED) == (True, "b")
    assert places.take("b", Rank.TROUBLED) == (False, None)
    assert places.left_out == {"b": Rank.TROUBLED}
