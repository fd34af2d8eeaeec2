"""A rollout of the past under another policy: as far as the past can tell, and no farther."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.evidence import at_new_weight, initial
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import (
    Gate,
    GateKind,
    Judging,
    Margin,
    OnFailure,
    OnNoEvidence,
    Policy,
    WeightStep,
)
from foundry_rollouts.core.model.rollout import Phase, PriorCounts
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources
from foundry_rollouts.core.replay.recorded import (
    BacktestOutcome,
    BacktestResult,
    RecordedRollout,
    WeightChange,
    backtest,
    canary_tally,
    replay,
    standing_at,
)

COARSE = Judging(bad=Margin(3, 0.2))
TEN, FIFTY, ALL = (WeightStep(weight, min=timedelta(minutes=1)) for weight in (10, 50, 100))


def at(minute: float) -> Any:
    return NOON + timedelta(minutes=minute)


def a_window(minute: int, failures: int = 0, calls: int = 30, source: str = "probe") -> Measurement:
    """Return what was counted in the minute that ends at ``minute``."""
    window = Window(at(minute - 1), at(minute))
    return Measurement(source, window, stable=Counts(calls=calls), canary=Counts(calls=calls, failures=failures))


def coarse(*steps: Any, **but: Any) -> Policy:
    return a_policy(steps=steps or (TEN, FIFTY, ALL), judge=COARSE, **but)


def a_past(*windows: Measurement, **but: Any) -> RecordedRollout:
    """Return a rollout that was two minutes at 10, then at 50, and ended well."""
    rollout = a_rollout(phase=Phase.PROMOTED, step=3, started_at=NOON, policy=coarse())
    past = RecordedRollout(rollout, (WeightChange(at(0), 10, 1), WeightChange(at(2), 50, 2)), windows)
    return replace(past, **but)


WELL = tuple(map(a_window, (1, 2, 3, 4)))


def test_its_own_policy_sees_it_as_it_was() -> None:
    seen = [
        (look.weight, look.rollout.step, look.analysis.verdict, look.decision.move) for look in replay(a_past(*WELL))
    ]
    assert seen == [(10, 1, "pass", "advance")] * 2 + [(50, 2, "pass", "advance")] * 2


def test_each_weight_earns_its_own_proof_and_keeps_what_is_known_of_harm() -> None:
    *_, before, after, _ = (look.analysis.evidence.tracks[0] for look in replay(a_past(*WELL)))
    assert (before.at_step.canary_calls, after.at_step.canary_calls) == (60, 30)
    assert after.total.canary_calls == 90


def test_a_policy_that_asks_for_more_waits_where_it_has_no_proof() -> None:
    told = backtest(a_past(*WELL), a_policy())
    assert told == BacktestResult(BacktestOutcome.WAITING, at(2), 10, 60, 0, told.because)
    assert "needs about" in told.because


def test_a_policy_that_goes_another_way_is_followed_as_far_as_the_past_goes() -> None:
    slow = (replace(TEN, min=timedelta(minutes=9)), ALL)
    assert backtest(a_past(*WELL), coarse()).would is BacktestOutcome.ADVANCED
    assert backtest(a_past(*WELL), coarse(*slow)).would is BacktestOutcome.WAITING
    assert backtest(a_past(*WELL), coarse(ALL)).would is BacktestOutcome.PROMOTED


def test_what_was_known_of_the_stable_version_is_known_again() -> None:
    rollout = a_rollout(started_at=NOON, prior_counts=(PriorCounts("error-rate", "probe", 400, 8),))
    (look,) = replay(a_past(WELL[0], rollout=rollout))
    (process,) = look.analysis.evidence.tracks[0].processes
    assert (process.guess.old_calls, process.guess.old_failures) == (400, 8)


def test_a_step_that_nobody_can_tell_about_is_told_when_it_was_reached() -> None:
    told = backtest(a_past(*WELL[:2]), coarse())
    assert told == BacktestResult(BacktestOutcome.ADVANCED, at(1), 10, 60, 0, told.because)


@pytest.mark.parametrize(
    ("on_failure", "would"),
    [
        (OnFailure.ROLLBACK, BacktestOutcome.ROLLED_BACK),
        (OnFailure.DISABLE, BacktestOutcome.DISABLED),
        (OnFailure.PAUSE, BacktestOutcome.PAUSED),
    ],
)
def test_harm_ends_it_as_the_policy_says(on_failure: OnFailure, would: BacktestOutcome) -> None:
    past = a_past(WELL[0], a_window(2, failures=30), a_window(3, failures=30))
    told = backtest(past, coarse(on_failure=on_failure))
    assert told == BacktestResult(would, at(2), 10, 60, 30, told.because)
    assert told.because.startswith("canary 30 of 60 failed against 0 of 60 on stable, seen by probe")


def test_without_a_stable_version_to_go_back_to_the_endpoint_is_closed() -> None:
    past = a_past(a_window(1, failures=30), rollout=a_rollout(stable=None, started_at=NOON))
    assert backtest(past, coarse()).would is BacktestOutcome.DISABLED


def test_time_without_proof_ends_as_the_policy_says() -> None:
    hasty = a_policy(steps=(replace(TEN, max=timedelta(minutes=2)), ALL), on_no_evidence=OnNoEvidence.PAUSE)
    assert backtest(a_past(*WELL), hasty).would is BacktestOutcome.PAUSED


@pytest.mark.parametrize("past", [a_past(), a_past(*WELL, moves=())], ids=["no counts", "never begun"])
def test_a_rollout_without_counts_tells_nothing(past: RecordedRollout) -> None:
    assert backtest(past, coarse()) == BacktestResult(BacktestOutcome.UNKNOWN, None, 0, 0, 0, "nothing was measured")


def test_a_step_does_not_age_in_a_pause() -> None:
    moves = (
        WeightChange(at(0), 10, 1),
        WeightChange(at(1), 10, 1, is_paused=True),
        WeightChange(at(3), 10, 1),
        WeightChange(at(4), 50, 2),
    )
    steps = (replace(TEN, min=timedelta(minutes=2)), ALL)
    for policy in (None, coarse(*steps)):
        past = a_past(*WELL, moves=moves, rollout=a_rollout(policy=coarse(*steps), started_at=NOON))
        decisions = [look.decision.move for look in replay(past, policy)]
        ages = [look.rollout.step_age(look.now) for look in replay(past, policy)]
        assert decisions == ["hold", "hold", "hold", "advance"]
        assert ages == [timedelta(minutes=minute) for minute in (1, 1, 1, 2)]


def test_an_approval_is_a_step_of_its_own_policy_only() -> None:
    steps = (TEN, ApprovalStep(), ALL)
    moves = (WeightChange(at(0), 10, 1), WeightChange(at(1), 10, 2), WeightChange(at(3), 100, 3))
    past = a_past(*WELL, moves=moves, rollout=a_rollout(policy=coarse(*steps), started_at=NOON))
    assert [look.rollout.step for look in replay(past)] == [1, 2, 2, 3]
    assert [look.rollout.step for look in replay(past, coarse())] == [1, 1, 1, 3]


def test_nothing_but_a_change_of_weight_moves_the_stakes() -> None:
    """The evidence is that of the judge who is fed window by window."""
    policy = coarse()
    rollout = a_rollout(policy=policy, phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)
    evidence = initial(policy)
    for minute, (window, look) in enumerate(zip(WELL, replay(a_past(*WELL)), strict=True), start=1):
        if minute == 3:
            rollout = replace(rollout, step=2, step_started_at=at(2))
            evidence = at_new_weight(evidence)
        analysis = judge(rollout, evidence, (window,), at(minute))
        assert look.analysis == analysis
        evidence = analysis.evidence


def test_sources_of_one_tick_are_judged_together() -> None:
    both = [replace(window, source=source) for window in WELL for source in ("probe", "logs")]
    seen = list(replay(a_past(*both)))
    assert [[each.source for each in look.measurements] for look in seen] == [["probe", "logs"]] * 4


def test_counts_that_come_late_are_judged_when_they_came() -> None:
    late = [
        replace(a_window(minute, source="prometheus"), window=Window(at(minute - 2), at(minute - 1)))
        for minute in (1, 2, 3, 4)
    ]
    recorded = [measurement for pair in zip(WELL, late, strict=True) for measurement in pair]
    seen = list(replay(a_past(*recorded)))
    assert [look.now for look in seen] == [at(1), at(2), at(3), at(4)]
    assert [look.measurements for look in seen] == list(zip(WELL, late, strict=True))


@pytest.mark.parametrize(("weight", "step"), [(0, 1), (5, 1), (10, 1), (49, 1), (50, 3), (99, 3), (100, 4)])
def test_a_weight_belongs_to_the_step_below_it(weight: int, step: int) -> None:
    policy = coarse(TEN, ApprovalStep(), FIFTY, ALL)
    assert standing_at(a_rollout(policy=policy), weight, NOON).step == step


def test_the_canary_is_counted_once_whoever_saw_it() -> None:
    sources = ("probe", "logs/probe", "logs", "outcomes")
    seen = [a_window(1, failures=place, calls=10 + place, source=source) for place, source in enumerate(sources)]
    assert canary_tally(seen) == Tally(canary_calls=10 + 13, canary_failures=0 + 3)
    assert canary_tally(seen[1:2]) == Tally(canary_calls=11, canary_failures=1)
    assert canary_tally([]) == Tally()


def test_what_was_measured_before_the_first_weight_is_passed_over() -> None:
    begun_late = a_past(*WELL, moves=(WeightChange(at(1), 10, 1), WeightChange(at(2), 50, 2)))
    assert [(look.now, look.weight) for look in replay(begun_late)] == [(at(2), 10), (at(3), 50), (at(4), 50)]


def test_a_step_at_the_same_weight_goes_on_with_the_proof_it_has() -> None:
    steps = (TEN, ApprovalStep(), ALL)
    moves = (WeightChange(at(0), 10, 1), WeightChange(at(2), 10, 2))
    past = a_past(*WELL, moves=moves, rollout=a_rollout(policy=coarse(*steps), started_at=NOON))
    counted = [look.analysis.evidence.tracks[0].at_step.canary_calls for look in replay(past)]
    assert counted == [30, 60, 90, 120]


def test_a_record_that_ends_without_proof_ends_in_waiting() -> None:
    told = backtest(a_past(*WELL[:2]), a_policy())
    assert told == BacktestResult(BacktestOutcome.WAITING, at(2), 10, 60, 0, told.because)


def test_the_deadline_counts_from_the_start_of_the_rollout() -> None:
    late = a_policy(steps=(TEN, ALL), deadline=timedelta(minutes=2))
    told = backtest(a_past(*WELL), late)
    assert (told.would, told.at) == (BacktestOutcome.PAUSED, at(2))
    earlier = replace(a_past(*WELL), rollout=a_rollout(started_at=at(-1)))
    assert backtest(earlier, late).at == at(1)


def test_a_pause_of_the_past_is_told_as_one() -> None:
    moves = (WeightChange(at(0), 10, 1), WeightChange(at(1), 10, 1, is_paused=True), WeightChange(at(3), 10, 1))
    seen = list(replay(a_past(*WELL, moves=moves), a_policy()))
    assert [look.rollout.because for look in seen] == ["created", "paused", "paused", "resumed"]
    assert [look.decision.because == "paused" for look in seen] == [False, True, True, False]


def test_a_canary_that_dies_at_100_would_have_stepped_back() -> None:
    users = coarse(
        gates=(Gate(GateKind.ERROR_RATE, ("outcomes",)),),
        sources=Sources(probe=None, logs=None, outcomes=OutcomesConfig()),
    )
    alone = replace(a_window(3, failures=30, source="outcomes"), stable=Counts())
    past = a_past(
        *(a_window(minute, source="outcomes") for minute in (1, 2)),
        alone,
        rollout=a_rollout(started_at=NOON, policy=users),
        moves=(WeightChange(at(0), 50, 2), WeightChange(at(2), 100, 3)),
    )
    told = backtest(past, users)
    assert (told.would, told.at, told.weight) == (BacktestOutcome.STEPPED_BACK, at(3), 100)
