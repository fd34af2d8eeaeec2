"""What speaks before the gates: shared trouble, an ignored split, the guard at 100; and what an analysis carries on."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Capital
from foundry_rollouts.core.judging.constants import EVEN, GUARD_ODDS
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.judging.judge import is_proved, judge
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.split import Split
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging, OnFailure, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, Sources
from unit.core.judging.made_evidence import a_track, capital_of, proving

IGNORED = Split("logs").after(0, 200, 10)
PROVED, HARMED = proving(-1, 3), proving(3, -1)
DRY = Gate(GateKind.LOG_ERRORS, ("logs",), is_dry_run=True)


def plain(**but: Any) -> Policy:
    return a_policy(ignored_errors=tuple(ErrorKind), **but)


def on_trial(policy: Policy, step: int = 1, **but: Any) -> Rollout:
    return a_rollout(policy=policy, phase=Phase.PROGRESSING, step=step, started_at=NOON, step_started_at=NOON, **but)


def analysed(*tracks: Track, policy: Policy | None = None, step: int = 1, **of: Any) -> Analysis:
    return judge(on_trial(policy or plain(), step), Evidence(tracks, **of), (), NOON)


def seen(*processes: Any, **but: Any) -> Track:
    return a_track(*processes, **({"seen_at": NOON} | but))


def suspected(log10: float) -> SharedTrouble:
    """Return stable's trouble with that evidence, which has not passed."""
    return SharedTrouble(before=0.01, process=CeilingProcess(capital_of(log10)), minutes=((50, 40), (9, 9)))


def guarding(log10: float) -> Guard:
    return Guard(0.01, CeilingProcess(capital_of(log10)))


def test_harm_comes_before_all_and_shared_trouble_before_the_split() -> None:
    both: dict[str, Any] = {"is_troubled": True, "splits": (IGNORED,)}
    assert analysed(seen(HARMED, shared=suspected(3)), **both).verdict is Verdict.FAIL
    troubled = analysed(seen(PROVED, shared=suspected(3)), **both)
    assert troubled.verdict is Verdict.SHARED_TROUBLE
    assert troubled.because.startswith("shared trouble: stable itself fails more than 4% of its calls")
    ignored = analysed(seen(PROVED), splits=(IGNORED,))
    assert (ignored.verdict, ignored.because) == (Verdict.SPLIT_IGNORED, IGNORED.sentence(10))
    assert analysed(seen(PROVED)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("on_split", "verdict"),
    [
        (OnSplit.HOLD, Verdict.SPLIT_IGNORED),
        (OnSplit.PAUSE, Verdict.SPLIT_IGNORED),
        (OnSplit.NOTE, Verdict.PASS),
    ],
)
def test_a_policy_may_only_note_the_split_which_is_told_all_the_same(on_split: OnSplit, verdict: Verdict) -> None:
    analysis = analysed(seen(PROVED), policy=plain(on_split=on_split), splits=(Split("probe"), IGNORED))
    assert (analysis.verdict, analysis.split) == (verdict, IGNORED.sentence(10))
    assert analysed(seen(PROVED), splits=(Split("probe"),)).split is None


@pytest.mark.parametrize(("log10", "is_guarded"), [(2 - 1e-9, False), (2 + 1e-9, True)])
def test_the_guard_leads_back_at_a_hundred_to_one(log10: float, is_guarded: bool) -> None:
    alone = seen(proving(), guard=guarding(log10), at_step=Tally(100, 60), stratum="logs")
    analysis = analysed(alone, step=3)
    assert bool(analysis.guarded) is is_guarded
    if is_guarded:
        assert (analysis.verdict, analysis.because) == (Verdict.INSUFFICIENT, analysis.guarded)
        assert analysis.because.startswith("canary 60 of 100 failed (stable failed about 1% before), seen by logs")
    assert analysed(alone, step=2).guarded is None


def test_the_gate_that_the_guard_speaks_for_names_its_words() -> None:
    lines = Gate(GateKind.LOG_ERRORS, ("logs",))
    policy = plain(gates=(*plain().gates, lines))
    loud = seen(proving(), gate="log-errors", stratum="logs", guard=guarding(4), at_step=Tally(100, 60))
    quiet = seen(proving(), at_step=Tally(9, 0, 9, 0))
    assert "wrote an error line" in (analysed(quiet, loud, policy=policy, step=3).guarded or "")


@pytest.mark.parametrize(
    ("harm", "stable", "guard", "verdict"),
    [
        (-0.1, 100, None, Verdict.PASS),
        (0.1, 100, None, Verdict.INSUFFICIENT),
        (0.1, 0, None, Verdict.PASS),
        (0.1, 0, guarding(-0.1), Verdict.PASS),
        (-0.1, 0, guarding(0.1), Verdict.INSUFFICIENT),
        (-0.1, 100, guarding(0.1), Verdict.PASS),
    ],
)
def test_at_100_stable_is_compared_with_where_it_has_calls_and_else_the_guard_speaks(
    harm: float, stable: int, guard: Guard | None, verdict: Verdict
) -> None:
    track = seen(proving(harm), guard=guard, at_step=Tally(100, 0, stable, 0))
    assert analysed(track, step=3).gates[0].verdict is verdict


def test_mistakes_of_callers_speak_at_100_and_nowhere_below() -> None:
    callers = seen(proving(0.1), kind=ErrorKind.CLIENT_ERROR, at_step=Tally(100, 1, 100, 0))
    well = seen(PROVED, at_step=Tally(100, 0, 100, 0))
    policy = a_policy()
    assert analysed(well, policy=policy, step=3, beside=(callers,)).verdict is Verdict.INSUFFICIENT
    calm = replace(callers, processes=(proving(-0.1),))
    assert analysed(well, policy=policy, step=3, beside=(calm,)).verdict is Verdict.PASS
    assert analysed(well, policy=policy, beside=(callers,)).verdict is Verdict.PASS


def test_a_plan_of_100_alone_has_to_be_proved_there_unless_it_goes_back() -> None:
    policy = plain(steps=(WeightStep(100, min=timedelta(minutes=1)),))
    well, unproved = seen(PROVED, at_step=Tally(99, 0, 99, 0)), seen(proving(-1), at_step=Tally(99, 0, 99, 0))
    assert analysed(well, policy=policy).verdict is Verdict.PASS
    assert analysed(unproved, policy=policy).verdict is Verdict.INSUFFICIENT
    assert analysed(unproved, step=3).verdict is Verdict.PASS
    reverting = on_trial(policy, is_revert=True)
    assert judge(reverting, Evidence((unproved,)), (), NOON).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("tracks", "step", "before", "is_proved"),
    [
        ((PROVED,), 1, False, True),
        ((proving(-1),), 1, False, False),
        ((proving(-1),), 1, True, True),
        ((HARMED,), 1, True, True),
        ((PROVED,), 3, False, False),
    ],
)
def test_what_was_proved_below_100_stays_known(tracks: Any, step: int, before: bool, is_proved: bool) -> None:
    track = seen(*tracks, at_step=Tally(99, 0, 99, 0))
    assert analysed(track, step=step, is_proved=before).evidence.is_proved is is_proved


def test_a_dry_run_decides_nothing_and_is_shown() -> None:
    policy = plain(gates=(*plain().gates, DRY))
    silent = a_track(gate="log-errors", stratum="logs")
    analysis = analysed(seen(PROVED), silent, policy=policy)
    assert (analysis.verdict, analysis.waiting_for) == (Verdict.PASS, None)
    assert [gate.is_dry_run for gate in analysis.gates] == [False, True]


def test_what_fails_waits_for_nothing_and_names_the_answer() -> None:
    answering = replace(plain().gates[0], on_failure=OnFailure.PAUSE)
    policy = plain(gates=(answering,))
    failed = analysed(seen(HARMED), policy=policy)
    assert (failed.waiting_for, failed.on_failure) == (None, OnFailure.PAUSE)
    waiting = analysed(seen(proving(-1)), policy=policy)
    assert (waiting.waiting_for, waiting.on_failure) == (waiting.gates[0].because, None)


def test_a_canary_that_is_guarded_may_be_gross() -> None:
    ladder = {"ladder": (9.0,) * 8}
    well = seen(proving(-1, 3, **ladder), at_step=Tally(100, 0, 100, 0))
    assert analysed(well, step=3).is_not_gross
    guarded = replace(well, guard=guarding(3), at_step=Tally(100, 0))
    assert not analysed(guarded, step=3).is_not_gross


@pytest.mark.parametrize(("log10", "is_suspected"), [(-0.1, False), (0.1, True)])
def test_a_suspicion_is_told_as_soon_as_more_speaks_for_it_than_against(log10: float, is_suspected: bool) -> None:
    suspicion = analysed(seen(PROVED, shared=suspected(log10))).suspicion
    assert (suspicion or "").startswith("shared trouble") is is_suspected


def test_an_analysis_says_how_long_a_call_may_take_and_takes_windows_as_parts_of_ticks() -> None:
    policy = plain(call_limit=timedelta(seconds=7))
    rollout = on_trial(policy)
    window = Window(NOON, NOON + timedelta(seconds=3))
    measured = [Measurement("probe", window, stable=Counts(16), canary=Counts(4, 1))]
    track = seen(proving())
    parts = judge(rollout, Evidence((track,)), measured, window.end, timedelta(seconds=10))
    whole = judge(rollout, Evidence((track,)), measured, window.end)
    assert parts.longest_call == timedelta(seconds=7)
    assert parts.evidence.tracks[0].open[-1].is_part
    assert not whole.evidence.tracks[0].open[-1].is_part


def test_so_much_is_a_proof() -> None:
    assert is_proved(Judging(missed_bad=0.05), -math.log(0.05))
    assert not is_proved(Judging(missed_bad=0.05), -math.log(0.05) - 1e-9)


def test_while_it_bakes_the_stratum_with_most_calls_of_the_canary_speaks() -> None:
    sources = Sources(outcomes=OutcomesConfig())
    policy = plain(gates=(replace(plain().gates[0], sources=("probe", "outcomes")),), sources=sources)
    few = seen(proving(-1), share=0.5, at_step=Tally(9, 0, 900, 0))
    many = seen(proving(-1), share=0.5, stratum="outcomes", at_step=Tally(800, 0, 90, 0))
    for tracks in ((few, many), (many, few)):
        assert analysed(*tracks, policy=policy, step=3).because.startswith("canary 0 of 800 failed against 0 of 90")


def exactly(log: float) -> Capital:
    return Capital(staked=(-math.inf,) * 7, cash=log)


def test_just_enough_is_enough_and_even_is_no_suspicion() -> None:
    shared = replace(suspected(0), process=CeilingProcess(exactly(EVEN)))
    assert analysed(seen(PROVED, shared=shared)).suspicion is None
    even = replace(proving(), harm=exactly(EVEN))
    compared = seen(even, at_step=Tally(100, 0, 100, 0))
    assert analysed(compared, step=3).gates[0].verdict is Verdict.PASS
    alone = seen(proving(), guard=Guard(0.01, CeilingProcess(exactly(EVEN))), at_step=Tally(100, 0))
    assert analysed(alone, step=3).gates[0].verdict is Verdict.PASS
    guarded = replace(alone, guard=Guard(0.01, CeilingProcess(exactly(math.log(GUARD_ODDS)))))
    assert analysed(guarded, step=3).guarded
