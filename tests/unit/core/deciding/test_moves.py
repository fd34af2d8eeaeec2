"""Every move says why, and who asked; and what it leaves behind in the record, field by field."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import PERSON, Situation, decide
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.contest import because_restored
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.policy import OnFailure, OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from unit.core.deciding.test_decide import BAKED, OVERDUE, SOON, asked, on_step, paused, saying, seen

WHY, WHO = "kim asked to {}: so", "kim"
NEVER_BEGAN = "kim asked to abort: so; aborted before it began, nothing was moved"
HARM = "it is fail"
NOTHING = ". Nothing was done: "
MENDED = "the harm to end, or a person"
SECOND = timedelta(seconds=1)


def answering(on_failure: OnFailure, rollout: Rollout | None = None) -> Rollout:
    return replace(rollout or on_step(), policy=a_policy(on_failure=on_failure))


@pytest.mark.parametrize(
    ("rollout", "situation", "decision"),
    [
        (a_rollout(), seen(None), Decision(Move.START, "version 2 is active; 10% of new sessions go to it")),
        (a_rollout(), seen(None, waits_for="a freeze"), Decision(Move.HOLD, "waiting for a freeze", "a freeze")),
        (a_rollout(), seen(None, failure="it is broken", newer="3"), Decision(Move.FAIL, "it is broken")),
        (
            a_rollout(),
            seen(None, newer="3"),
            Decision(Move.SUPERSEDE, "version 3 is newer and takes its place", goes_back=True),
        ),
        (a_rollout(), seen(None, commands=(asked(Verb.PAUSE),)), Decision(Move.PAUSE, WHY.format("pause"), author=WHO)),
        (a_rollout(phase=Phase.PAUSED, because="kim"), seen(None), Decision(Move.HOLD, "kim", PERSON)),
        (
            a_rollout(phase=Phase.PAUSED),
            seen(None, commands=(asked(Verb.RESUME),)),
            Decision(Move.RESUME, WHY.format("resume"), author=WHO),
        ),
        (
            a_rollout(phase=Phase.PAUSED),
            seen(None, commands=(asked(Verb.PROMOTE),)),
            Decision(Move.RESUME, WHY.format("promote"), author=WHO),
        ),
        (a_rollout(), seen(None, commands=(asked(Verb.ABORT),)), Decision(Move.ABORT, NEVER_BEGAN, author=WHO)),
        (
            a_rollout(stable=None),
            seen(None, commands=(asked(Verb.ABORT),)),
            Decision(Move.ABORT, NEVER_BEGAN, author=WHO),
        ),
        (
            a_rollout(phase=Phase.PAUSED),
            seen(None, commands=(asked(Verb.ABORT),)),
            Decision(Move.ABORT, NEVER_BEGAN, author=WHO),
        ),
    ],
)
def test_before_the_start(rollout: Rollout, situation: Situation, decision: Decision) -> None:
    assert decide(rollout, situation) == decision


@pytest.mark.parametrize("verb", [Verb.RESUME, Verb.PROMOTE, Verb.APPROVE])
def test_what_cannot_be_done_before_the_start_is_answered_and_leaves_the_rollout_as_it_is(verb: Verb) -> None:
    decision = decide(a_rollout(), seen(None, commands=(asked(verb),)))
    because = f"{WHY.format(verb)}. Nothing was done: it has not begun, and begins by itself"
    assert decision == Decision(Move.DECLINE, because, author=WHO)
    assert after(a_rollout(), decision, SOON) == a_rollout()


def test_the_next_look_is_expected_in_ten_seconds_unless_somebody_knows_better() -> None:
    assert Situation(NOON).tick_interval == timedelta(seconds=10)


def test_an_end_goes_back_only_where_it_says_so() -> None:
    assert Decision(Move.SUPERSEDE, "why").goes_back is False


def test_a_pause_waits_for_a_person_and_says_what_they_can_do() -> None:
    assert after(on_step(), Decision(Move.PAUSE, "why"), SOON).waiting_for == "a person: resume, promote or abort"


def test_nothing_that_is_measured_matters_before_the_start() -> None:
    assert decide(a_rollout(), seen(Verdict.FAIL)).move is Move.START


@pytest.mark.parametrize("verb", [Verb.PAUSE, Verb.APPROVE])
def test_a_pause_before_the_start_is_ended_by_nothing_else(verb: Verb) -> None:
    rollout = a_rollout(phase=Phase.PAUSED, because="kim")
    decision = decide(rollout, seen(None, commands=(asked(verb),)))
    assert decision.move is Move.DECLINE
    assert after(rollout, decision, SOON) == rollout


@pytest.mark.parametrize(
    ("rollout", "situation", "decision"),
    [
        (on_step(), seen(is_gone=True), Decision(Move.SUPERSEDE, "the agent was deleted")),
        (
            on_step(),
            seen(newer="3"),
            Decision(Move.SUPERSEDE, "version 3 is newer and takes its place", goes_back=True),
        ),
        (paused(because="kim"), seen(), Decision(Move.HOLD, "kim", PERSON)),
        (on_step(), seen(commands=(asked(Verb.PAUSE),)), Decision(Move.PAUSE, WHY.format("pause"), author=WHO)),
        (
            paused(because="kim"),
            seen(commands=(asked(Verb.PAUSE),)),
            Decision(Move.DECLINE, WHY.format("pause") + NOTHING + "it is paused already", author=WHO),
        ),
        (paused(), seen(commands=(asked(Verb.RESUME),)), Decision(Move.RESUME, WHY.format("resume"), author=WHO)),
        (on_step(), seen(commands=(asked(Verb.PROMOTE),)), Decision(Move.ADVANCE, WHY.format("promote"), author=WHO)),
        (on_step(3), seen(commands=(asked(Verb.PROMOTE),)), Decision(Move.PROMOTE, WHY.format("promote"), author=WHO)),
        (
            on_step(),
            seen(commands=(asked(Verb.RESUME),), cloud_error="HTTP 503"),
            Decision(Move.DECLINE, WHY.format("resume") + NOTHING + "it is not paused", author=WHO),
        ),
        (on_step(), seen(cloud_error="HTTP 503"), Decision(Move.HOLD, "HTTP 503", "the cloud to answer")),
    ],
)
def test_on_the_way(rollout: Rollout, situation: Situation, decision: Decision) -> None:
    assert decide(rollout, situation) == decision


@pytest.mark.parametrize(
    ("on_failure", "moving", "halted"),
    [
        (OnFailure.ROLLBACK, Decision(Move.ROLL_BACK, HARM), Decision(Move.ROLL_BACK, HARM)),
        (OnFailure.DISABLE, Decision(Move.DISABLE, HARM), Decision(Move.DISABLE, HARM)),
        (OnFailure.PAUSE, Decision(Move.PAUSE, HARM), Decision(Move.HOLD, HARM, PERSON)),
        (OnFailure.HOLD, Decision(Move.HOLD, HARM, MENDED), Decision(Move.HOLD, HARM, PERSON)),
    ],
)
def test_harm_is_answered_with_what_was_seen(on_failure: OnFailure, moving: Decision, halted: Decision) -> None:
    assert decide(answering(on_failure), seen(Verdict.FAIL)) == moving
    assert decide(answering(on_failure, paused()), seen(Verdict.FAIL)) == halted


def test_harm_that_is_only_paused_for_leaves_people_their_say() -> None:
    rollout = answering(OnFailure.PAUSE, paused())
    resumed = decide(rollout, seen(Verdict.FAIL, commands=(asked(Verb.RESUME),)))
    assert resumed == Decision(Move.RESUME, WHY.format("resume"), author=WHO)


@pytest.mark.parametrize(
    ("on_drift", "decision"),
    [
        (OnDrift.PAUSE, Decision(Move.PAUSE, "moved")),
        (OnDrift.RESTORE, Decision(Move.RESTORE, because_restored("moved", None, SOON), is_contested=True)),
        (OnDrift.ADOPT, Decision(Move.SUPERSEDE, "moved")),
    ],
)
def test_drift_is_answered_with_what_differs(on_drift: OnDrift, decision: Decision) -> None:
    rollout = on_step(policy=a_policy(on_drift=on_drift))
    assert decide(rollout, seen(drift="moved")) == decision
    assert decide(rollout, seen(drift="moved", is_closed=True)) == Decision(Move.PAUSE, "moved")


LATER = saying(Verdict.INSUFFICIENT, waiting_for="calls")


def test_progress_says_what_is_missing_and_what_would_end_the_wait() -> None:
    baking = Decision(Move.HOLD, "well so far; the step is still baking. it is pass", "the bake time of the step")
    assert decide(on_step(), seen()) == baking
    assert decide(on_step(), seen(now=NOON + timedelta(minutes=1))) == Decision(Move.ADVANCE, "it is pass")
    assert decide(on_step(), Situation(SOON, LATER)) == Decision(Move.HOLD, "it is insufficient", "calls")
    steps = (WeightStep(10), ApprovalStep(), WeightStep(100))
    waiting = on_step(2, policy=a_policy(steps=steps))
    assert decide(waiting, seen(now=BAKED)) == Decision(
        Move.HOLD, "waiting for approval at 10%; it is pass", "a person: approve or abort"
    )
    approved = decide(waiting, seen(commands=(asked(Verb.APPROVE),)))
    assert approved == Decision(Move.ADVANCE, WHY.format("approve"), author=WHO)


OVER = "no proof within the step's time: it is insufficient"


@pytest.mark.parametrize(
    ("on_no_evidence", "decision"),
    [
        (OnNoEvidence.HOLD, Decision(Move.HOLD, OVER, "calls")),
        (OnNoEvidence.PAUSE, Decision(Move.PAUSE, OVER)),
        (OnNoEvidence.ROLLBACK, Decision(Move.ROLL_BACK, OVER)),
        (OnNoEvidence.ADVANCE_IF_NOT_GROSS, Decision(Move.HOLD, OVER, "calls")),
    ],
)
def test_time_without_proof_says_so(on_no_evidence: OnNoEvidence, decision: Decision) -> None:
    assert decide(on_step(policy=a_policy(on_no_evidence=on_no_evidence)), Situation(OVERDUE, LATER)) == decision


def test_going_on_without_proof_says_what_is_known() -> None:
    rollout = on_step(policy=a_policy(on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS))
    told = "time is over and less than 16 points worse is proved: it is insufficient"
    assert decide(rollout, Situation(OVERDUE, replace(LATER, is_not_gross=True))) == Decision(Move.ADVANCE, told)


@pytest.mark.parametrize(("early", "move"), [(SECOND, Move.HOLD), (0 * SECOND, Move.PAUSE)])
def test_the_deadline_is_over_on_the_second(early: timedelta, move: Move) -> None:
    rollout = on_step(policy=a_policy(deadline=timedelta(hours=2)))
    decision = decide(rollout, Situation(NOON + timedelta(hours=2) - early, LATER))
    assert decision.move is move
    if move is Move.PAUSE:
        assert decision.because == "the deadline of 2:00:00 is over: it is insufficient"


def test_an_end_says_which_it_was() -> None:
    assert decide(a_rollout(phase=Phase.ROLLED_BACK), seen()) == Decision(Move.HOLD, "the rollout is rolled_back")


BEFORE = a_rollout(
    phase=Phase.PROGRESSING, step=1, generation=5, started_at=NOON, step_started_at=NOON, measured_until=NOON
)
HALTED = replace(BEFORE, phase=Phase.PAUSED, paused_at=SOON, waiting_for=PERSON)


@pytest.mark.parametrize(
    ("rollout", "decision", "changes"),
    [
        (BEFORE, Decision(Move.HOLD, "why", "what"), {"waiting_for": "what"}),
        (
            a_rollout(generation=5),
            Decision(Move.START, "why"),
            {
                "phase": Phase.PROGRESSING,
                "step": 1,
                "generation": 6,
                "started_at": BAKED,
                "step_started_at": BAKED,
                "measured_until": BAKED,
            },
        ),
        (BEFORE, Decision(Move.ADVANCE, "why"), {"step": 2, "generation": 6, "step_started_at": BAKED}),
        (
            HALTED,
            Decision(Move.ADVANCE, "why", author="kim"),
            {
                "phase": Phase.PROGRESSING,
                "step": 2,
                "generation": 6,
                "step_started_at": BAKED,
                "paused_at": None,
                "resumed_at": BAKED,
                "waiting_for": None,
            },
        ),
        (
            BEFORE,
            Decision(Move.PAUSE, "why", author="kim"),
            {"phase": Phase.PAUSED, "paused_at": BAKED, "waiting_for": PERSON},
        ),
        (
            BEFORE,
            Decision(Move.PAUSE, "why"),
            {"phase": Phase.PAUSED, "paused_at": BAKED, "waiting_for": PERSON, "generation": 6},
        ),
        (
            HALTED,
            Decision(Move.RESUME, "why", author="kim"),
            {
                "phase": Phase.PROGRESSING,
                "paused_at": None,
                "resumed_at": BAKED,
                "step_started_at": NOON + (BAKED - SOON),
                "waiting_for": None,
            },
        ),
        (
            a_rollout(phase=Phase.PAUSED, paused_at=SOON, waiting_for=PERSON),
            Decision(Move.RESUME, "why", author="kim"),
            {"phase": Phase.PENDING, "paused_at": None, "resumed_at": BAKED, "waiting_for": None},
        ),
        (BEFORE, Decision(Move.RESTORE, "why"), {"generation": 6}),
        (BEFORE, Decision(Move.PROMOTE, "why"), {"phase": Phase.PROMOTED, "ended_at": BAKED, "generation": 6}),
        (
            HALTED,
            Decision(Move.ROLL_BACK, "why"),
            {"phase": Phase.ROLLED_BACK, "ended_at": BAKED, "generation": 6, "waiting_for": None},
        ),
        (BEFORE, Decision(Move.DISABLE, "why"), {"phase": Phase.DISABLED, "ended_at": BAKED, "generation": 6}),
        (BEFORE, Decision(Move.SUPERSEDE, "why"), {"phase": Phase.SUPERSEDED, "ended_at": BAKED, "generation": 6}),
        (BEFORE, Decision(Move.FAIL, "why"), {"phase": Phase.FAILED, "ended_at": BAKED, "generation": 6}),
        (
            a_rollout(),
            Decision(Move.ABORT, "why", author="kim"),
            {"phase": Phase.ABORTED, "ended_at": BAKED, "ended_by": "kim", "generation": 2},
        ),
    ],
)
def test_a_move_changes_this_of_the_record_and_nothing_else(
    rollout: Rollout, decision: Decision, changes: dict[str, Any]
) -> None:
    assert after(rollout, decision, BAKED) == replace(rollout, because="why", **changes)
