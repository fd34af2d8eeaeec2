"""A canary that takes all traffic and fails more than stable did goes back to the weight at which it is compared."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.transition import Transition, retreat_by, transition
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.policy import OnFailure, OnNoEvidence, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of
from foundry_rollouts.errors import BrokenLawError

WORSE = "canary 90 of 100 failed (stable failed about 1% before), seen by outcomes: evidence 400 : 1"
MINUTE = timedelta(minutes=1)


def at_100(policy: Policy | None = None, **but: Any) -> Rollout:
    policy = policy or a_policy()
    plain = {"step": len(policy.steps), "phase": Phase.PROGRESSING, "started_at": NOON, "step_started_at": NOON}
    return a_rollout(policy=policy, **(plain | but))


def warned(rollout: Rollout, verdict: Verdict = Verdict.INSUFFICIENT, minutes: int = 1, **but: Any) -> Situation:
    analysis = Analysis(verdict, "so", initial(rollout.policy), guarded=WORSE if rollout.weight == 100 else None)
    return Situation(NOON + minutes * MINUTE, analysis, routing=routing_of(rollout), **but)


def stepped(rollout: Rollout, **but: Any) -> Transition:
    return transition(rollout, rollout, warned(rollout, **but))


def test_it_gets_the_last_weight_below_100_and_the_history_says_why() -> None:
    step = stepped(at_100(event_count=4))
    assert step.event is not None
    assert (step.event.kind, step.event.because) == ("rollout.stepped_back", f"stepped back to 50% because {WORSE}")
    # The cloud may refuse it, and a person may go further: it is tried anew at each tick, and never repeated blindly.
    assert (step.target, step.is_retreat) == (Routing.of({"1": 50, "2": 50}), False)
    then = step.then
    assert (then.phase, then.step, then.step_backs, then.step_started_at) == (
        Phase.PROGRESSING, 2, 1, NOON + MINUTE,
    )  # fmt: skip
    assert then.generation == 2


def test_it_goes_up_again_only_by_a_new_proof() -> None:
    back = stepped(at_100()).then
    proved = Analysis(Verdict.PASS, "so", initial(back.policy))
    unproved = replace(proved, verdict=Verdict.INSUFFICIENT)
    now = NOON + 20 * MINUTE
    assert decide(back, Situation(now, unproved)).move is Move.HOLD
    assert decide(back, Situation(now, proved)).move is Move.ADVANCE


def test_the_third_time_a_person_decides() -> None:
    back = stepped(at_100(step_backs=2)).then
    assert (back.phase, back.step, back.step_backs) == (Phase.PAUSED, 2, 3)
    assert "a person decides" in back.because
    assert back.waiting_for is not None


def test_a_rollout_that_is_paused_goes_back_and_stays_paused() -> None:
    paused = at_100(phase=Phase.PAUSED, paused_at=NOON)
    back = stepped(paused, minutes=30).then
    assert (back.phase, back.step) == (Phase.PAUSED, 2)
    assert (back.step_age(NOON + 31 * MINUTE), back.age(NOON + 31 * MINUTE)) == (timedelta(0), timedelta(0))


def test_harm_and_a_person_have_the_first_word() -> None:
    rollout = at_100()
    assert decide(rollout, warned(rollout, Verdict.FAIL)).move is Move.ROLL_BACK
    promote = Command("c-1", "r-1", Verb.PROMOTE, 1, NOON, "anna", None, "key")
    assert decide(rollout, warned(rollout, commands=(promote,))).move is Move.PROMOTE


def test_where_another_hand_changed_the_routing_that_is_answered_first() -> None:
    rollout = at_100()
    assert decide(rollout, warned(rollout, drift="somebody changed it")).move is Move.PAUSE


def test_an_approval_on_the_way_up_is_asked_for_again() -> None:
    policy = a_policy(steps=(WeightStep(50), ApprovalStep(), WeightStep(100)))
    assert stepped(at_100(policy)).then.step == 1


@pytest.mark.parametrize(("on_failure", "move"), [("rollback", Move.ROLL_BACK), ("pause", Move.PAUSE)])
def test_a_plan_without_a_weight_that_compares_takes_it_for_harm(on_failure: str, move: Move) -> None:
    rollout = at_100(a_policy(steps=(WeightStep(100),), on_failure=OnFailure(on_failure)))
    decision = decide(rollout, warned(rollout))
    assert (decision.move, decision.because) == (move, WORSE)


def test_shared_trouble_stops_the_clocks_and_is_told_once() -> None:
    rollout = at_100(step=2)
    ill = transition(rollout, rollout, warned(rollout, Verdict.SHARED_TROUBLE, minutes=4))
    assert ill.decision.move is Move.HOLD
    assert ill.event is not None
    still = transition(ill.then, ill.then, warned(ill.then, Verdict.SHARED_TROUBLE, minutes=300))
    assert (still.event, still.decision.move) == (None, Move.HOLD)
    assert (still.then.step_age(NOON + 350 * MINUTE), still.then.age(NOON + 350 * MINUTE)) == (4 * MINUTE, 4 * MINUTE)
    well = transition(still.then, still.then, warned(still.then, Verdict.PASS, minutes=304)).then
    assert (well.trouble_since, well.step_age(NOON + 305 * MINUTE)) == (None, 5 * MINUTE)
    up = transition(well, well, warned(well, Verdict.PASS, minutes=305)).then
    assert (up.step, up.step_age(NOON + 306 * MINUTE), up.age(NOON + 306 * MINUTE)) == (3, MINUTE, 6 * MINUTE)


def test_a_pause_in_the_midst_of_shared_trouble_counts_once() -> None:
    rollout = at_100(step=2)
    ill = transition(rollout, rollout, warned(rollout, Verdict.SHARED_TROUBLE, minutes=4)).then
    pause = Command("c-1", "r-1", Verb.PAUSE, ill.generation, NOON, "anna", None, "key")
    paused = transition(ill, ill, warned(ill, Verdict.SHARED_TROUBLE, minutes=10, commands=(pause,))).then
    assert (paused.phase, paused.trouble_since, paused.step_age(NOON + 60 * MINUTE)) == (Phase.PAUSED, None, 4 * MINUTE)


@pytest.mark.parametrize(
    ("on_split", "verdict", "move", "is_told"),
    [
        (OnSplit.HOLD, Verdict.SPLIT_IGNORED, Move.HOLD, True),
        (OnSplit.PAUSE, Verdict.SPLIT_IGNORED, Move.PAUSE, True),
        (OnSplit.NOTE, Verdict.PASS, Move.ADVANCE, True),
    ],
)
def test_a_split_that_is_ignored_leads_to_what_the_policy_says(
    on_split: OnSplit, verdict: Verdict, move: Move, is_told: bool
) -> None:
    rollout = at_100(a_policy(on_split=on_split), step=2)
    analysis = Analysis(verdict, "so", initial(rollout.policy), split="of 46 new sessions 0 went to the canary")
    seen = Situation(NOON + 20 * MINUTE, analysis, routing=routing_of(rollout))
    step = transition(rollout, rollout, seen)
    assert (step.decision.move, step.event is not None) == (move, is_told)
    if on_split is OnSplit.NOTE:
        assert step.decision.because.startswith("of 46 new sessions")
        waits = replace(seen, analysis=replace(analysis, verdict=Verdict.INSUFFICIENT))
        noted = transition(rollout, rollout, waits)
        assert noted.event is not None
        assert transition(noted.then, noted.then, waits).event is None


def test_calls_that_are_still_under_way_keep_a_step_from_going_on() -> None:
    rollout = at_100(a_policy(steps=(WeightStep(10), WeightStep(100))), step=1)
    proved = Analysis(Verdict.PASS, "so", initial(rollout.policy), longest_call=5 * MINUTE)
    assert decide(rollout, Situation(NOON + 4 * MINUTE, proved)).move is Move.HOLD
    assert decide(rollout, Situation(NOON + 5 * MINUTE, proved)).move is Move.ADVANCE
    doubtful = replace(proved, suspicion="shared trouble: stable fails more than before")
    waits = decide(rollout, Situation(NOON + 5 * MINUTE, doubtful))
    assert waits == Decision(Move.HOLD, "maybe shared trouble: stable fails more than before", "stable's next calls")
    unproved = replace(doubtful, verdict=Verdict.INSUFFICIENT, waiting_for="40 calls")
    assert decide(rollout, Situation(NOON + 5 * MINUTE, unproved)) == Decision(Move.HOLD, "so", "40 calls")
    last = at_100()
    assert decide(last, Situation(NOON + 30 * MINUTE, replace(doubtful, suspicion=None))).move is Move.PROMOTE
    assert decide(last, Situation(NOON + 30 * MINUTE, doubtful)) == waits


def test_what_was_proved_on_the_way_up_counts_no_more_after_a_step_back() -> None:
    rollout = at_100()
    seen = warned(rollout)
    assert seen.analysis is not None
    proved = replace(seen.analysis, evidence=replace(seen.analysis.evidence, is_proved=True))
    step = transition(rollout, rollout, replace(seen, analysis=proved))
    assert step.evidence is not None
    assert not step.evidence.is_proved


def test_shared_trouble_that_outlasts_the_deadline_asks_a_person_who_may_take_it_for_normal() -> None:
    rollout = at_100(step=2)
    ill = transition(rollout, rollout, warned(rollout, Verdict.SHARED_TROUBLE, minutes=4)).then
    hours = 60 * 7
    asked = transition(ill, ill, warned(ill, Verdict.SHARED_TROUBLE, minutes=hours))
    assert (asked.decision.move, asked.then.phase) == (Move.PAUSE, Phase.PAUSED)
    resume = Command("c-1", "r-1", Verb.RESUME, asked.then.generation, NOON, "anna", None, "key")
    seen = warned(asked.then, Verdict.SHARED_TROUBLE, minutes=hours + 1, commands=(resume,))
    assert seen.analysis is not None
    troubled = replace(seen.analysis, evidence=replace(seen.analysis.evidence, is_troubled=True))
    resumed = transition(asked.then, asked.then, replace(seen, analysis=troubled))
    assert resumed.decision.move is Move.RESUME
    assert resumed.evidence is not None
    assert not resumed.evidence.is_troubled


def test_a_pause_of_another_kind_is_no_word_on_trouble_that_both_share() -> None:
    rollout = at_100(step=2)
    pause = Command("c-1", "r-1", Verb.PAUSE, 1, NOON, "anna", None, "key")
    paused = transition(rollout, rollout, warned(rollout, Verdict.SHARED_TROUBLE, commands=(pause,))).then
    resume = Command("c-2", "r-1", Verb.RESUME, paused.generation, NOON, "anna", None, "key")
    seen = warned(paused, Verdict.SHARED_TROUBLE, minutes=60 * 7, commands=(resume,))
    assert seen.analysis is not None
    troubled = replace(seen.analysis, evidence=replace(seen.analysis.evidence, is_troubled=True))
    resumed = transition(paused, paused, replace(seen, analysis=troubled))
    assert resumed.decision.move is Move.RESUME
    assert resumed.evidence is not None
    assert resumed.evidence.is_troubled, "nobody asked whether it is normal, so the rollout holds on"


def test_after_a_step_back_nothing_less_than_a_proof_leads_up() -> None:
    policy = a_policy(on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS)
    back = stepped(at_100(policy)).then
    lenient = Analysis(Verdict.INSUFFICIENT, "so", initial(policy), is_not_gross=True)
    now = NOON + timedelta(hours=2)
    assert back.is_step_overdue(now)
    assert decide(replace(back, step_backs=0), Situation(now, lenient)).move is Move.ADVANCE
    assert decide(back, Situation(now, lenient)).move is Move.HOLD
    with pytest.raises(BrokenLawError):
        retreat_by(back, Decision(Move.ADVANCE, "time is over"), Situation(now, lenient, routing=routing_of(back)))
