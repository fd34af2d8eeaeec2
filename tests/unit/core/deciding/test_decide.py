"""The next move, rule by rule."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.deciding.transition import may_move
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.policy import OnFailure, OnNoEvidence, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of

SOON = NOON + timedelta(seconds=5)
BAKED = NOON + timedelta(minutes=2)
OVERDUE = NOON + timedelta(minutes=11)
SILENCES = (Verdict.INSUFFICIENT, Verdict.NO_DATA, Verdict.STALE, Verdict.SOURCE_ERROR)


def on_step(step: int = 1, **but: Any) -> Rollout:
    return a_rollout(phase=Phase.PROGRESSING, step=step, started_at=NOON, step_started_at=NOON, **but)


def paused(**but: Any) -> Rollout:
    return replace(on_step(), phase=Phase.PAUSED, paused_at=NOON, **but)


def saying(verdict: Verdict, **but: Any) -> Analysis:
    return Analysis(verdict=verdict, because=f"it is {verdict}", evidence=Evidence(), **but)


def seen(verdict: Verdict | None = Verdict.PASS, now: Any = SOON, **but: Any) -> Situation:
    return Situation(now=now, analysis=saying(verdict) if verdict else None, **but)


def asked(verb: Verb) -> Command:
    return Command(id="c", rollout="r-1", verb=verb, generation=1, at=NOON, author="kim", reason="so")


def test_a_pending_rollout_starts_once_nothing_stands_in_its_way() -> None:
    assert decide(a_rollout(), seen(None)).move is Move.START


def test_the_version_that_was_stable_before_takes_all_traffic_in_one_step_and_is_still_watched() -> None:
    policy = a_policy(steps=(WeightStep(10), ApprovalStep(), WeightStep(100), ApprovalStep()))
    rollout = a_rollout(canary="1", stable="2", is_revert=True, policy=policy)
    decision = decide(rollout, seen(None))
    assert decision == Decision(
        Move.START, "version 1 was stable before version 2: all new sessions go back to it", step=3
    )
    then = after(rollout, decision, SOON)
    assert (then.phase, then.step, routing_of(then)) == (Phase.PROGRESSING, 3, Routing.of({"1": 100}))
    assert decide(then, seen(Verdict.FAIL)).move is Move.ROLL_BACK


def test_a_pending_rollout_says_what_it_waits_for() -> None:
    decision = decide(a_rollout(), seen(None, waits_for="version 2 to become active"))
    assert decision == Decision(Move.HOLD, "waiting for version 2 to become active", "version 2 to become active")


def test_a_version_that_can_never_become_active_fails_the_rollout_and_moves_no_traffic() -> None:
    rollout = a_rollout()
    decision = decide(rollout, seen(None, failure="version 2 is failed: pip said no"))
    then = after(rollout, decision, SOON)
    assert decision.move is Move.FAIL
    assert then.phase is Phase.FAILED
    assert routing_of(then) == Routing.of({"1": 100})


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PAUSED])
def test_an_abort_is_obeyed_whatever_is_going_on(phase: Any) -> None:
    decision = decide(replace(on_step(), phase=phase), seen(commands=(asked(Verb.ABORT),)))
    assert decision.move is Move.ROLL_BACK
    assert decision.author == "kim"


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PAUSED])
@pytest.mark.parametrize("stable", ["1", None])
def test_what_has_not_begun_is_aborted_and_not_rolled_back(phase: Phase, stable: str | None) -> None:
    rollout = a_rollout(phase=phase, stable=stable)
    decision = decide(rollout, seen(None, commands=(asked(Verb.ABORT),), is_closed=True, drift="somebody", newer="3"))
    then = after(rollout, decision, SOON)
    assert (then.phase, then.ended_by) == (Phase.ABORTED, "kim")
    assert not may_move(rollout, decision)


@pytest.mark.parametrize("move", Move)
def test_before_its_first_weight_only_the_start_of_a_rollout_moves_anything(move: Move) -> None:
    for phase in (Phase.PENDING, Phase.PAUSED):
        assert may_move(a_rollout(phase=phase), Decision(move, "why")) is (move is Move.START)
    assert not may_move(a_rollout(), Decision(Move.SUPERSEDE, "why", goes_back=True))


@pytest.mark.parametrize("rollout", [on_step(), paused(), on_step(3)], ids=["progressing", "paused", "at 100"])
def test_harm_leads_back_even_while_paused_and_at_100(rollout: Any) -> None:
    then = after(rollout, decide(rollout, seen(Verdict.FAIL)), SOON)
    assert then.phase is Phase.ROLLED_BACK
    assert routing_of(then) == Routing.of({"1": 100})


def test_harm_goes_before_a_person_who_asks_to_promote() -> None:
    assert decide(on_step(), seen(Verdict.FAIL, commands=(asked(Verb.PROMOTE),))).move is Move.ROLL_BACK


def test_harm_with_no_stable_version_left_closes_the_endpoint() -> None:
    rollout = on_step(stable=None)
    decision = decide(rollout, seen(Verdict.FAIL))
    assert decision.move is Move.DISABLE
    assert not routing_of(after(rollout, decision, SOON)).is_open


@pytest.mark.parametrize(
    ("on_failure", "move"),
    [
        (OnFailure.ROLLBACK, Move.ROLL_BACK),
        (OnFailure.DISABLE, Move.DISABLE),
        (OnFailure.PAUSE, Move.PAUSE),
        (OnFailure.HOLD, Move.HOLD),
    ],
)
def test_harm_leads_to_what_the_policy_says(on_failure: Any, move: Any) -> None:
    assert decide(on_step(policy=a_policy(on_failure=on_failure)), seen(Verdict.FAIL)).move is move


def test_a_gate_may_name_its_own_answer_to_harm() -> None:
    situation = Situation(SOON, saying(Verdict.FAIL, on_failure=OnFailure.PAUSE))
    assert decide(on_step(), situation).move is Move.PAUSE


def test_harm_that_only_holds_never_advances() -> None:
    rollout = on_step(policy=a_policy(on_failure=OnFailure.HOLD))
    assert decide(rollout, seen(Verdict.FAIL, now=BAKED)).move is Move.HOLD


def test_a_proved_step_advances_only_when_it_has_baked() -> None:
    rollout = on_step()
    assert decide(rollout, seen(now=SOON)).move is Move.HOLD
    assert decide(rollout, seen(now=BAKED)).move is Move.ADVANCE


def test_the_next_weight_comes_from_the_plan() -> None:
    rollout = on_step()
    then = after(rollout, decide(rollout, seen(now=BAKED)), BAKED)
    assert (then.step, routing_of(then)) == (2, Routing.of({"1": 50, "2": 50}))
    assert then.generation == rollout.generation + 1


def test_the_last_step_promotes_when_it_has_baked() -> None:
    rollout = on_step(3)
    assert decide(rollout, seen(now=NOON + timedelta(minutes=29))).move is Move.HOLD
    then = after(rollout, decide(rollout, seen(now=NOON + timedelta(minutes=31))), BAKED)
    assert (then.phase, routing_of(then)) == (Phase.PROMOTED, Routing.of({"2": 100}))


@pytest.mark.parametrize("verdict", SILENCES)
@pytest.mark.parametrize("on_no_evidence", [OnNoEvidence.HOLD, OnNoEvidence.PAUSE, OnNoEvidence.ROLLBACK])
@pytest.mark.parametrize("now", [SOON, BAKED, OVERDUE, NOON + timedelta(days=9)])
def test_absence_of_evidence_never_moves_forward(verdict: Any, on_no_evidence: Any, now: Any) -> None:
    rollout = on_step(policy=a_policy(on_no_evidence=on_no_evidence))
    assert decide(rollout, seen(verdict, now=now)).move in {Move.HOLD, Move.PAUSE, Move.ROLL_BACK}


@pytest.mark.parametrize("verdict", SILENCES)
def test_time_that_is_over_advances_only_what_was_seen_and_proved_not_gross(verdict: Any) -> None:
    rollout = on_step(policy=a_policy(on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS))
    gross = Situation(OVERDUE, saying(verdict))
    not_gross = Situation(OVERDUE, saying(verdict, is_not_gross=True))
    assert decide(rollout, gross).move is Move.HOLD
    assert decide(rollout, not_gross).move is (Move.ADVANCE if verdict is Verdict.INSUFFICIENT else Move.HOLD)


def test_the_deadline_pauses_and_a_person_who_resumes_gets_a_new_one() -> None:
    late = NOON + timedelta(hours=7)
    rollout = on_step(3)
    then = after(rollout, decide(rollout, seen(now=late)), late)
    assert then.phase is Phase.PAUSED
    later = late + timedelta(hours=1)
    resumed = after(then, decide(then, seen(now=later, commands=(asked(Verb.RESUME),))), later)
    assert resumed.phase is Phase.PROGRESSING
    assert decide(resumed, seen(Verdict.INSUFFICIENT, now=later)).move is not Move.PAUSE


def test_a_paused_rollout_stays_where_it_is_and_does_not_age() -> None:
    rollout = paused()
    decision = decide(rollout, seen(now=NOON + timedelta(days=1)))
    assert decision.move is Move.HOLD
    assert rollout.step_age(NOON + timedelta(days=1)) == timedelta(0)


def test_a_pause_before_the_start_keeps_it_from_starting_until_resumed() -> None:
    rollout = a_rollout()
    held = after(rollout, decide(rollout, seen(None, commands=(asked(Verb.PAUSE),))), SOON)
    assert decide(held, seen(None)).move is Move.HOLD
    assert routing_of(held) == Routing.of({"1": 100})
    free = after(held, decide(held, seen(None, commands=(asked(Verb.RESUME),))), SOON)
    assert decide(free, seen(None)).move is Move.START


def test_promote_takes_one_step_without_proof_and_ends_a_pause() -> None:
    rollout = paused()
    then = after(rollout, decide(rollout, seen(Verdict.NO_DATA, commands=(asked(Verb.PROMOTE),))), SOON)
    assert (then.phase, then.step) == (Phase.PROGRESSING, 2)


def test_promote_on_the_last_step_ends_the_rollout() -> None:
    assert decide(on_step(3), seen(Verdict.NO_DATA, commands=(asked(Verb.PROMOTE),))).move is Move.PROMOTE


def with_approval() -> Policy:
    return a_policy(steps=(WeightStep(10), ApprovalStep(), WeightStep(100)))


def test_an_approval_step_waits_for_a_person_however_good_the_evidence() -> None:
    rollout = on_step(2, policy=with_approval())
    assert decide(rollout, seen(now=BAKED)).move is Move.HOLD
    assert routing_of(rollout) == Routing.of({"1": 90, "2": 10})
    assert decide(rollout, seen(now=BAKED, commands=(asked(Verb.APPROVE),))).move is Move.ADVANCE


def test_an_approval_that_nobody_waits_for_does_nothing() -> None:
    decision = decide(on_step(), seen(commands=(asked(Verb.APPROVE),)))
    assert decision == Decision(
        Move.DECLINE, "kim asked to approve: so. Nothing was done: it waits for no approval", author="kim"
    )


@pytest.mark.parametrize(
    ("on_drift", "move"),
    [(OnDrift.PAUSE, Move.PAUSE), (OnDrift.RESTORE, Move.RESTORE), (OnDrift.ADOPT, Move.SUPERSEDE)],
)
def test_drift_is_answered_as_the_policy_says(on_drift: Any, move: Any) -> None:
    rollout = on_step(policy=a_policy(on_drift=on_drift))
    assert decide(rollout, seen(drift="somebody changed the routing")).move is move


@pytest.mark.parametrize("on_drift", list(OnDrift))
def test_an_endpoint_that_a_person_closed_is_never_opened(on_drift: Any) -> None:
    rollout = on_step(policy=a_policy(on_drift=on_drift))
    assert decide(rollout, seen(drift="somebody disabled it", is_closed=True)).move is Move.PAUSE


def test_nothing_advances_while_the_cloud_cannot_be_read() -> None:
    assert decide(on_step(), seen(now=BAKED, cloud_error="the cloud cannot be read")).move is Move.HOLD


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.is_final])
def test_a_rollout_that_has_ended_stays_ended(phase: Any) -> None:
    rollout = replace(on_step(), phase=phase)
    decision = decide(rollout, seen(Verdict.FAIL, commands=(asked(Verb.ABORT),)))
    assert decision.move is Move.HOLD
    assert after(rollout, decision, SOON).phase is phase


def test_commands_are_obeyed_in_the_order_of_their_urgency() -> None:
    assert [verb.value for verb in sorted(Verb, key=lambda verb: verb.urgency)] == [
        "abort",
        "pause",
        "resume",
        "promote",
        "approve",
    ]


def test_a_resume_goes_on_at_the_same_step_with_the_time_it_had() -> None:
    rollout = replace(on_step(), phase=Phase.PAUSED, paused_at=NOON + timedelta(seconds=30))
    later = NOON + timedelta(hours=1)
    decision = decide(rollout, seen(now=later, commands=(asked(Verb.RESUME),)))
    assert decision.move is Move.RESUME
    assert after(rollout, decision, later).step_age(later) == timedelta(seconds=30)
