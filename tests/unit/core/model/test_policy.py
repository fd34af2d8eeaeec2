"""A policy says what it wants, and is refused where it makes no sense."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import a_policy
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.effects import OnDrift, SessionsOnRollback
from foundry_rollouts.core.model.new_versions import OnNewVersion
from foundry_rollouts.core.model.policy import (
    Automatic,
    Gate,
    GateKind,
    Judging,
    Margin,
    OnFailure,
    OnNoEvidence,
    Policy,
    Trigger,
    WeightStep,
)
from foundry_rollouts.core.model.sources import HttpConfig, OutcomesConfig, PrometheusConfig, Sources
from foundry_rollouts.errors import UsageError

MINUTE = timedelta(minutes=1)
ERRORS = Gate(GateKind.ERROR_RATE, ("probe",))
COST = (("cost", "/cost"),)


def test_a_line_lies_its_ratio_and_its_points_above_stable() -> None:
    assert Margin(1.5, 0.005).of(0.01) == pytest.approx(0.02)
    assert Margin(2).of(0.25) == 0.5


@pytest.mark.parametrize(
    ("margin", "words"), [(Margin(1.2), "1.2x"), (Margin(1.5, 0.005), "1.5x + 0.5pp"), (Margin(3, 0.2), "3x + 20pp")]
)
def test_a_line_is_written_as_in_a_policy(margin: Margin, words: str) -> None:
    assert str(margin) == words


@pytest.mark.parametrize(("ratio", "points"), [(1.0, 0.0), (1000.0, 0.0), (1.0, 0.999)])
def test_a_line_may_lie_anywhere_above_stable(ratio: float, points: float) -> None:
    assert Margin(ratio, points).ratio == ratio


@pytest.mark.parametrize(("ratio", "points"), [(0.99, 0.0), (1000.1, 0.0), (1.0, -0.01), (1.0, 1.0)])
def test_a_line_below_stable_or_above_everything_is_refused(ratio: float, points: float) -> None:
    with pytest.raises(UsageError, match="a margin is at least 1x and less than \\+ 100pp"):
        Margin(ratio, points)


@pytest.mark.parametrize("weight", [1, 100])
def test_a_weight_is_a_percentage(weight: int) -> None:
    assert WeightStep(weight).weight == weight


@pytest.mark.parametrize("weight", [0, 101, -1])
def test_a_weight_that_is_none_is_refused(weight: int) -> None:
    with pytest.raises(UsageError, match=f"weight {weight}: a weight is a whole number from 1 to 100"):
        WeightStep(weight)


def test_a_step_may_have_just_the_time_to_bake_and_no_less() -> None:
    assert WeightStep(10, min=MINUTE, max=MINUTE).max == MINUTE
    with pytest.raises(UsageError, match="max is shorter than min"):
        WeightStep(10, min=2 * MINUTE, max=MINUTE)


@pytest.mark.parametrize("wrong", [0, 0.5, 0.9, -0.1])
def test_how_sure_the_judge_must_be_lies_between_nothing_and_a_toss_up(wrong: float) -> None:
    with pytest.raises(UsageError, match="false-rollback and missed-bad lie between 0% and 50%"):
        Judging(false_rollback=wrong)
    with pytest.raises(UsageError, match="false-rollback and missed-bad lie between 0% and 50%"):
        Judging(missed_bad=wrong)


def test_what_is_bad_may_begin_where_tolerance_ends_and_not_before() -> None:
    line = Margin(1.5, 0.01)
    assert Judging(tolerate=line, bad=line).bad == line
    for bad in (Margin(1.4, 0.5), Margin(3, 0.009)):
        with pytest.raises(UsageError, match="bad lies below tolerate"):
            Judging(tolerate=line, bad=bad)


def test_what_a_policy_leaves_open_is_as_documented() -> None:
    policy = Policy("name", ("agent",), (WeightStep(100),), gates=(ERRORS,))
    assert policy.judge == Judging(0.01, 0.05, Margin(1.2, 0), Margin(2, 0.02))
    assert policy.deadline == timedelta(hours=6)
    assert policy.sources == Sources()
    answers = (policy.trigger, policy.on_failure, policy.on_no_evidence, policy.on_drift, policy.on_new_version)
    assert answers == (
        Trigger.NEW_VERSION,
        OnFailure.ROLLBACK,
        OnNoEvidence.HOLD,
        OnDrift.PAUSE,
        OnNewVersion.QUEUE,
    )
    assert policy.sessions_on_rollback is SessionsOnRollback.KEEP
    assert (ERRORS.is_critical, ERRORS.is_dry_run, ApprovalStep().approval) == (False, False, True)


@pytest.mark.parametrize(
    ("but", "complaint"),
    [
        ({"call_limit": timedelta(seconds=-1)}, "call-limit lies between nothing and the deadline"),
        ({"call_limit": timedelta(hours=6)}, "call-limit lies between nothing and the deadline"),
        ({"warm_up": -MINUTE}, "warm-up is shorter than the deadline, and 0s where versions need none"),
        ({"warm_up": timedelta(hours=6)}, "warm-up is shorter than the deadline, and 0s where versions need none"),
    ],
)
def test_calls_and_sandboxes_have_less_time_than_the_whole(but: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        a_policy(**but)
    just = timedelta(hours=6) - timedelta(seconds=1)
    assert a_policy(call_limit=just, warm_up=just).call_limit == just


def test_automatic_steps_climb_to_half_soak_there_and_bake_at_the_end() -> None:
    steps = Automatic(soak=7 * MINUTE, bake=3 * MINUTE, max=9 * MINUTE).steps
    climbing = tuple(WeightStep(weight, max=9 * MINUTE) for weight in (1, 2, 5, 10, 20))
    assert steps == (*climbing, WeightStep(50, 7 * MINUTE, 9 * MINUTE), WeightStep(100, 3 * MINUTE))
    assert Automatic() == Automatic(20.0, 5 * MINUTE, timedelta(0), None)


@pytest.mark.parametrize("blast_radius", [1, 1_000_000])
def test_a_blast_radius_may_be_one_failure_or_a_million(blast_radius: float) -> None:
    assert Automatic(blast_radius).blast_radius == blast_radius


@pytest.mark.parametrize("blast_radius", [0.99, 1_000_001])
def test_a_blast_radius_beyond_that_is_refused(blast_radius: float) -> None:
    with pytest.raises(UsageError, match="failures: write at least 1, at most 1000000"):
        Automatic(blast_radius)


def test_automatic_steps_have_just_the_time_to_soak_and_no_less() -> None:
    assert Automatic(soak=MINUTE, max=MINUTE).max == MINUTE
    with pytest.raises(UsageError, match="max is shorter than soak"):
        Automatic(soak=2 * MINUTE, max=MINUTE)


def test_automatic_steps_leave_no_room_for_a_list() -> None:
    assert a_policy(automatic=Automatic(), steps=Automatic().steps).weight_at(1) == 1
    with pytest.raises(UsageError, match="automatic steps are made from their settings"):
        a_policy(automatic=Automatic())


def test_the_weight_of_a_step_is_the_last_one_named() -> None:
    policy = a_policy(steps=(ApprovalStep(), WeightStep(10), ApprovalStep(), WeightStep(100)))
    assert [policy.weight_at(step) for step in range(5)] == [0, 0, 10, 10, 100]


@pytest.mark.parametrize(
    ("globs", "agent", "exactness"),
    [
        (("support-*",), "support-agent", 8),
        (("support-?",), "support-1", 8),
        (("*",), "support-agent", 0),
        (("*", "support-*"), "support-agent", 8),
        (("support-agent", "*"), "support-agent", 10_000),
        (("sales-*",), "support-agent", None),
        (("Support-*",), "support-agent", None),
    ],
)
def test_the_more_exact_name_of_an_agent_counts(globs: tuple[str, ...], agent: str, exactness: int | None) -> None:
    assert a_policy(agents=globs).matches(agent) == exactness


@pytest.mark.parametrize(
    ("but", "sentence"),
    [
        ({"steps": ()}, "steps is empty: name at least one weight"),
        ({"steps": (ApprovalStep(),)}, "steps is empty"),
        (
            {"steps": (WeightStep(10), WeightStep(10), WeightStep(100))},
            "weights 10, 10, 100: each weight must be greater",
        ),
        ({"steps": (WeightStep(50), WeightStep(10), WeightStep(100))}, "each weight must be greater"),
        ({"steps": (WeightStep(10), WeightStep(50), WeightStep(90))}, "the last weight is 90: a rollout ends at 100"),
        ({"agents": ()}, "agents is empty: name at least one agent"),
        ({"deadline": timedelta(0)}, "deadline must be longer than nothing"),
        ({"gates": ()}, "gates is empty: without a gate nothing could ever stop a bad version"),
        ({"gates": (Gate(GateKind.ERROR_RATE, ("http",)),)}, r"asks \['http'\]; sources in use: probe, logs"),
        ({"gates": (Gate(GateKind.ERROR_RATE, ()),)}, "asks no source; sources in use: probe, logs"),
        ({"sources": Sources(probe=None, logs=None)}, r"asks \['probe'\]; sources in use: none"),
        ({"gates": (ERRORS, ERRORS)}, "two gates of one kind: put their sources into one"),
        ({"gates": (replace(ERRORS, weights=(1.0, 2.0)),)}, "give each of its sources a weight, more than 0"),
        (
            {"gates": (replace(ERRORS, sources=("probe", "logs"), weights=(1.0, 0.0)),)},
            "give each of its sources a weight, more than 0",
        ),
        ({"gates": (replace(ERRORS, weights=(-1.0,)),)}, "give each of its sources a weight, more than 0"),
        ({"gates": (replace(ERRORS, bounds=Bounds("cost", max=1)),)}, "a value has bounds, and nothing else has"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(but: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        a_policy(**but)


ALL = Sources(
    outcomes=OutcomesConfig(),
    prometheus=PrometheusConfig("http://p", "calls", "failures", values=COST),
    http=HttpConfig("http://h", "/calls", "/failures", values=COST),
)
TELL = {
    GateKind.ERROR_RATE: {"probe", "logs", "outcomes", "prometheus", "http"},
    GateKind.LATENCY: {"probe", "logs", "outcomes"},
    GateKind.LOG_ERRORS: {"logs", "outcomes"},
    GateKind.VALUE: {"prometheus", "http"},
}


@pytest.mark.parametrize("source", ALL.names)
@pytest.mark.parametrize("kind", GateKind)
def test_a_gate_asks_only_sources_that_can_tell(kind: GateKind, source: str) -> None:
    gate = Gate(kind, (source,), bounds=Bounds("cost", max=1) if kind is GateKind.VALUE else None)
    if source in TELL[kind]:
        assert a_policy(sources=ALL, gates=(gate,)).gates == (gate,)
    else:
        with pytest.raises(UsageError, match=f"asks {source}, which cannot tell it"):
            a_policy(sources=ALL, gates=(gate,))


def test_every_source_that_a_gate_cannot_use_is_named() -> None:
    lines = Gate(GateKind.LOG_ERRORS, ("probe", "http", "logs"))
    with pytest.raises(UsageError, match="gate log-errors asks http, probe, which cannot tell it"):
        a_policy(sources=ALL, gates=(lines,))


def test_a_policy_with_one_gate_that_decides_may_have_others_that_do_not() -> None:
    dry = Gate(GateKind.LOG_ERRORS, ("logs",), is_dry_run=True)
    assert len(a_policy(gates=(ERRORS, dry)).gates) == 2


def test_sources_of_a_gate_have_equal_parts_or_those_it_names() -> None:
    gate = Gate(GateKind.ERROR_RATE, ("probe", "logs", "outcomes", "http"))
    assert gate.share_of("logs") == 0.25
    assert replace(gate, weights=(1.0, 2.0, 3.0, 4.0)).share_of("outcomes") == pytest.approx(0.3)
