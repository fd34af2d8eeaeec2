"""Counts of the past, judged again: the evidence of the formulas, the decisions of the product."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_policy
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import (
    Automatic,
    Gate,
    GateKind,
    Judging,
    Margin,
    OnFailure,
    OnNoEvidence,
    Policy,
    WeightStep,
)
from foundry_rollouts.core.model.sources import LogsConfig, Sources
from foundry_rollouts.core.replay.counts import Interval, Judged, replayed
from unit.core.judging.reference_evidence import ReferenceEvidence

COARSE = Judging(bad=Margin(3, 0.2))
LINES = [((1.0, 0.0), (1.5, 0.005)), ((1.2, 0.0), (1.5, 0.005)), ((1.2, 0.0), (3.0, 0.2)), ((1.0, 0.01), (1.0, 0.05))]


@st.composite
def counted(draw: st.DrawFn, most: int) -> tuple[int, int]:
    calls = draw(st.integers(0, most))
    return calls, draw(st.one_of(st.just(0), st.just(calls), st.integers(0, calls)))


@st.composite
def streams(draw: st.DrawFn) -> list[Interval]:
    """Return intervals of all lengths, whose weights and rates jump about."""
    intervals, seconds = [], 0
    most = draw(st.sampled_from([3, 40, 2000]))
    for _ in range(draw(st.integers(1, 25))):
        seconds += draw(st.sampled_from([1, 10, 60, 61, 240, 3600]))
        weight = draw(st.sampled_from([10, 10, 10, 50, 100]))
        intervals.append(Interval(seconds, weight, Tally(*draw(counted(most)), *draw(counted(most)))))
    return intervals


@given(streams(), st.sampled_from(LINES), st.sampled_from([0.01, 0.05, 0.2]))
@settings(deadline=None, max_examples=60)
def test_it_agrees_with_the_formulas_written_out(stream: list[Interval], lines: Any, missed_bad: float) -> None:
    tolerate, bad = lines
    judging = Judging(missed_bad=missed_bad, tolerate=Margin(*tolerate), bad=Margin(*bad))
    reference, before, weight = ReferenceEvidence(tolerate, bad), 0.0, stream[0].weight
    for interval, judged in zip(stream, replayed(a_policy(judge=judging), stream), strict=True):
        if interval.weight != weight:
            reference.weight_change()
        tally = interval.tally
        counts = (tally.canary_calls, tally.canary_failures, tally.stable_calls, tally.stable_failures)
        reference.interval(counts, int(interval.seconds - before))
        before, weight = interval.seconds, interval.weight
        assert judged.seconds == interval.seconds
        assert judged.harm_log10 == pytest.approx(reference.harm_log10, abs=1e-6)
        assert judged.safe_log10 == pytest.approx(reference.safe_log10, abs=1e-6)
        assert judged.at_most_worse == reference.at_most_worse(missed_bad)
        assert (judged.verdict is Verdict.FAIL) == (judged.harm_log10 >= 2)


@given(streams())
@settings(deadline=None, max_examples=30)
def test_what_comes_later_changes_nothing_of_what_was_said(stream: list[Interval]) -> None:
    assert list(replayed(a_policy(), stream[:-1])) == list(replayed(a_policy(), stream))[:-1]


def replay(policy: Policy, *rows: tuple[int, int, Tally]) -> list[Judged]:
    return list(replayed(policy, [Interval(*row) for row in rows]))


def coarse(**but: Any) -> Policy:
    return a_policy(judge=COARSE, **but)


WELL, DEAD, NOTHING = Tally(200, 2, 200, 2), Tally(60, 60, 60, 0), Tally()


def test_proof_advances_a_step_only_once_it_has_baked() -> None:
    early, baked = replay(coarse(), (30, 10, WELL), (60, 10, WELL))
    assert (early.verdict, early.decision) == ("pass", "hold")
    assert (baked.verdict, baked.decision) == ("pass", "advance")
    assert "better than 3x + 20pp stable" in baked.because


def test_a_step_ages_from_the_change_of_its_weight() -> None:
    first, young, baked = replay(coarse(), (60, 10, WELL), (359, 50, WELL), (360, 50, WELL))
    assert (first.decision, young.decision, baked.decision) == ("advance", "hold", "advance")


def test_proof_on_the_last_step_promotes() -> None:
    (only,) = replay(coarse(steps=(WeightStep(100),)), (60, 100, WELL))
    assert only.decision == "promote"


def test_an_approval_takes_no_time_of_a_replay() -> None:
    steps = (WeightStep(10), ApprovalStep(), WeightStep(100))
    assert [each.decision for each in replay(coarse(steps=steps), (60, 10, WELL))] == ["advance"]


@pytest.mark.parametrize(
    ("on_failure", "decision"),
    [(OnFailure.ROLLBACK, "rollback"), (OnFailure.DISABLE, "disable"), (OnFailure.PAUSE, "pause"), ("hold", "hold")],
)
def test_harm_leads_to_what_the_policy_says(on_failure: OnFailure, decision: str) -> None:
    (judged,) = replay(coarse(on_failure=OnFailure(on_failure)), (10, 10, DEAD))
    assert (judged.verdict, judged.decision) == ("fail", decision)
    assert judged.because.startswith("canary 60 of 60 failed against 0 of 60 on stable, seen by outcomes")


def test_a_gate_of_the_policy_may_name_its_own_end_and_its_ceiling() -> None:
    gate = Gate(GateKind.ERROR_RATE, ("probe", "logs"), max=0.2, on_failure=OnFailure.PAUSE)
    tolerant = Judging(tolerate=Margin(5), bad=Margin(6))
    alike, above = Tally(200, 30, 200, 30), Tally(200, 100, 200, 30)
    *_, judged = replay(a_policy(gates=(gate,), judge=tolerant), *((at, 10, alike) for at in (1, 2)), (3, 10, above))
    assert (judged.verdict, judged.decision) == ("fail", "pause")
    assert judged.harm_log10 < 2


def test_weights_and_dry_runs_of_gates_are_left_out_for_there_is_one_stratum() -> None:
    tried = Gate(GateKind.ERROR_RATE, ("probe", "logs"), weights=(3.0, 1.0), is_dry_run=True)
    latency = Gate(GateKind.LATENCY, ("probe",))
    rows = ((10, 10, WELL), (20, 10, DEAD))
    assert replay(a_policy(gates=(tried, latency)), *rows) == replay(a_policy(), *rows)


def test_silence_never_moves_anything() -> None:
    nothing, seen, old = replay(coarse(), (900, 10, NOTHING), (960, 10, WELL), (1200, 10, NOTHING))
    assert (nothing.verdict, nothing.decision) == ("no-data", "hold")
    assert (seen.verdict, seen.decision) == ("pass", "advance")
    assert (old.verdict, old.decision) == ("stale", "hold")


def test_a_step_without_proof_ends_as_the_policy_says() -> None:
    policy = coarse(on_no_evidence=OnNoEvidence.ROLLBACK)
    within, over = replay(policy, (599, 10, Tally(1, 0, 9, 0)), (600, 10, Tally(1, 0, 9, 0)))
    assert (within.verdict, within.decision) == ("insufficient", "hold")
    assert (over.verdict, over.decision) == ("insufficient", "rollback")


def test_automatic_steps_of_a_replay_allow_for_a_look_as_long_as_the_interval() -> None:
    automatic = Automatic(20)
    policy = a_policy(steps=automatic.steps, automatic=automatic)
    quick, slow = replay(policy, (10, 1, Tally(2, 0, 198, 0))), replay(policy, (60, 1, Tally(2, 0, 198, 0)))
    assert (quick[0].decision, slow[0].decision) == ("advance", "advance")
    assert quick[0].because == slow[0].because


def test_the_deadline_counts_from_second_0() -> None:
    policy = coarse(deadline=timedelta(minutes=2))
    assert [each.decision for each in replay(policy, (119, 10, WELL), (120, 10, WELL))] == ["advance", "pause"]


@pytest.mark.parametrize(("weight", "bake"), [(0, 60), (1, 60), (30, 60), (70, 300), (99, 300)])
def test_a_weight_between_two_steps_bakes_as_the_lower_one(weight: int, bake: int) -> None:
    young, baked = replay(coarse(), (bake - 1, weight, WELL), (bake, weight, WELL))
    assert (young.decision, baked.decision) == ("hold", "advance")


def test_counts_need_no_source_of_the_policy_in_particular() -> None:
    logs_only = a_policy(sources=Sources(probe=None, logs=LogsConfig()), gates=(Gate(GateKind.LOG_ERRORS, ("logs",)),))
    both = a_policy(gates=(Gate(GateKind.ERROR_RATE, ("logs", "probe")), Gate(GateKind.LATENCY, ("probe",))))
    rows = ((10, 10, WELL), (20, 50, DEAD))
    assert replay(logs_only, *rows) == replay(both, *rows) == replay(a_policy(), *rows)


def test_the_order_of_versions_and_the_time_between_rows_matter() -> None:
    swapped = Tally(DEAD.stable_calls, DEAD.stable_failures, DEAD.canary_calls, DEAD.canary_failures)
    assert replay(coarse(), (10, 10, swapped))[0].verdict is not Verdict.FAIL
    quick, slow = (replay(coarse(), (at, 10, WELL), (at + 10, 10, DEAD))[1].harm_log10 for at in (10, 3000))
    assert quick != slow


def test_every_field_can_be_told_to_programs() -> None:
    (judged,) = replay(coarse(), (10, 10, NOTHING))
    assert replace(judged, because="") == Judged(10, pytest.approx(0), pytest.approx(0), None, "no-data", "hold", "")  # type: ignore[arg-type]
