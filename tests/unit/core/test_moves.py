"""Every move says why, and who asked; and what it leaves behind in the record, field by field."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.decide import PERSON, Situation, after, decide
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.contest import because_restored
from foundry_rollouts.core.model.decision import (
    Abort,
    Advance,
    Decision,
    Decline,
    Disable,
    Fail,
    Hold,
    Pause,
    Promote,
    Restore,
    Resume,
    RollBack,
    Start,
    Supersede,
)
from foundry_rollouts.core.model.policy import ApprovalStep, OnDrift, OnFailure, OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from unit.core.test_decide import BAKED, OVERDUE, SOON, asked, on_step, paused, saying, seen

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
        (a_rollout(), seen(None), Start("version 2 is active; 10% of new sessions go to it")),
        (a_rollout(), seen(None, waits_for="a freeze"), Hold("waiting for a freeze", "a freeze")),
        (a_rollout(), seen(None, failure="it is broken", newer="3"), Fail("it is broken")),
        (a_rollout(), seen(None, newer="3"), Supersede("version 3 is newer and takes its place", goes_back=True)),
        (a_rollout(), seen(None, command=asked(Verb.PAUSE)), Pause(WHY.format("pause"), WHO)),
        (a_rollout(phase=Phase.PAUSED, because="kim"), seen(None), Hold("kim", PERSON)),
        (a_rollout(phase=Phase.PAUSED), seen(None, command=asked(Verb.RESUME)), Resume(WHY.format("resume"), WHO)),
        (a_rollout(phase=Phase.PAUSED), seen(None, command=asked(Verb.PROMOTE)), Resume(WHY.format("promote"), WHO)),
        (a_rollout(), seen(None, command=asked(Verb.ABORT)), Abort(NEVER_BEGAN, WHO)),
        (a_rollout(stable=None), seen(None, command=asked(Verb.ABORT)), Abort(NEVER_BEGAN, WHO)),
        (a_rollout(phase=Phase.PAUSED), seen(None, command=asked(Verb.ABORT)), Abort(NEVER_BEGAN, WHO)),
    ],
)
def test_before_the_start(rollout: Rollout, situation: Situation, decision: Decision) -> None:
    assert decide(rollout, situation) == decision


@pytest.mark.parametrize("verb", [Verb.RESUME, Verb.PROMOTE, Verb.APPROVE])
def test_what_cannot_be_done_before_the_start_is_answered_and_leaves_the_rollout_as_it_is(verb: Verb) -> None:
    decision = decide(a_rollout(), seen(None, command=asked(verb)))
    because = f"{WHY.format(verb)}. Nothing was done: it has not begun, and begins by itself"
    assert decision == Decline(because, WHO)
    assert after(a_rollout(), decision, SOON) == a_rollout()


def test_the_next_look_is_expected_in_ten_seconds_unless_somebody_knows_better() -> None:
    assert Situation(NOON).tick_interval == timedelta(seconds=10)


def test_an_end_goes_back_only_where_it_says_so() -> None:
    assert Supersede("why").goes_back is False


def test_a_pause_waits_for_a_person_and_says_what_they_can_do() -> None:
    assert after(on_step(), Pause("why"), SOON).waiting_for == "a person: resume, promote or abort"


def test_nothing_that_is_measured_matters_before_the_start() -> None:
    assert isinstance(decide(a_rollout(), seen(Verdict.FAIL)), Start)


@pytest.mark.parametrize("verb", [Verb.PAUSE, Verb.APPROVE])
def test_a_pause_before_the_start_is_ended_by_nothing_else(verb: Verb) -> None:
    rollout = a_rollout(phase=Phase.PAUSED, because="kim")
    decision = decide(rollout, seen(None, command=asked(verb)))
    assert isinstance(decision, Decline)
    assert after(rollout, decision, SOON) == rollout


@pytest.mark.parametrize(
    ("rollout", "situation", "decision"),
    [
        (on_step(), seen(is_gone=True), Supersede("the agent was deleted")),
        (on_step(), seen(newer="3"), Supersede("version 3 is newer and takes its place", goes_back=True)),
        (paused(because="kim"), seen(), Hold("kim", PERSON)),
        (on_step(), seen(command=asked(Verb.PAUSE)), Pause(WHY.format("pause"), WHO)),
        (
            paused(because="kim"),
            seen(command=asked(Verb.PAUSE)),
            Decline(WHY.format("pause") + NOTHING + "it is paused already", WHO),
        ),
        (paused(), seen(command=asked(Verb.RESUME)), Resume(WHY.format("resume"), WHO)),
        (on_step(), seen(command=asked(Verb.PROMOTE)), Advance(WHY.format("promote"), WHO)),
        (on_step(3), seen(command=asked(Verb.PROMOTE)), Promote(WHY.format("promote"), WHO)),
        (
            on_step(),
            seen(command=asked(Verb.RESUME), cloud_error="HTTP 503"),
            Decline(WHY.format("resume") + NOTHING + "it is not paused", WHO),
        ),
        (on_step(), seen(cloud_error="HTTP 503"), Hold("HTTP 503", "the cloud to answer")),
    ],
)
def test_on_the_way(rollout: Rollout, situation: Situation, decision: Decision) -> None:
    assert decide(rollout, situation) == decision


@pytest.mark.parametrize(
    ("on_failure", "moving", "halted"),
    [
        (OnFailure.ROLLBACK, RollBack(HARM), RollBack(HARM)),
        (OnFailure.DISABLE, Disable(HARM), Disable(HARM)),
        (OnFailure.PAUSE, Pause(HARM), Hold(HARM, PERSON)),
        (OnFailure.HOLD, Hold(HARM, MENDED), Hold(HARM, PERSON)),
    ],
)
def test_harm_is_answered_with_what_was_seen(on_failure: OnFailure, moving: Decision, halted: Decision) -> None:
    assert decide(answering(on_failure), seen(Verdict.FAIL)) == moving
    assert decide(answering(on_failure, paused()), seen(Verdict.FAIL)) == halted


def test_harm_that_is_only_paused_for_leaves_people_their_say() -> None:
    rollout = answering(OnFailure.PAUSE, paused())
    resumed = decide(rollout, seen(Verdict.FAIL, command=asked(Verb.RESUME)))
    assert resumed == Resume(WHY.format("resume"), WHO)


@pytest.mark.parametrize(
    ("on_drift", "decision"),
    [
        (OnDrift.PAUSE, Pause("moved")),
        (OnDrift.RESTORE, Restore(because_restored("moved", None, SOON), is_contested=True)),
        (OnDrift.ADOPT, Supersede("moved")),
    ],
)
def test_drift_is_answered_with_what_differs(on_drift: OnDrift, decision: Decision) -> None:
    rollout = on_step(policy=a_policy(on_drift=on_drift))
    assert decide(rollout, seen(drift="moved")) == decision
    assert decide(rollout, seen(drift="moved", is_closed=True)) == Pause("moved")


LATER = saying(Verdict.INSUFFICIENT, waiting_for="calls")


def test_progress_says_what_is_missing_and_what_would_end_the_wait() -> None:
    baking = Hold("well so far; the step is still baking. it is pass", "the bake time of the step")
    assert decide(on_step(), seen()) == baking
    assert decide(on_step(), seen(now=NOON + timedelta(minutes=1))) == Advance("it is pass")
    assert decide(on_step(), Situation(SOON, LATER)) == Hold("it is insufficient", "calls")
    steps = (WeightStep(10), ApprovalStep(), WeightStep(100))
    waiting = on_step(2, policy=a_policy(steps=steps))
    assert decide(waiting, seen(now=BAKED)) == Hold(
        "waiting for approval at 10%; it is pass", "a person: approve or abort"
    )
    approved = decide(waiting, seen(command=asked(Verb.APPROVE)))
    assert approved == Advance(WHY.format("approve"), WHO)


OVER = "no proof within the step's time: it is insufficient"


@pytest.mark.parametrize(
    ("on_no_evidence", "decision"),
    [
        (OnNoEvidence.HOLD, Hold(OVER, "calls")),
        (OnNoEvidence.PAUSE, Pause(OVER)),
        (OnNoEvidence.ROLLBACK, RollBack(OVER)),
        (OnNoEvidence.ADVANCE_IF_NOT_GROSS, Hold(OVER, "calls")),
    ],
)
def test_time_without_proof_says_so(on_no_evidence: OnNoEvidence, decision: Decision) -> None:
    assert decide(on_step(policy=a_policy(on_no_evidence=on_no_evidence)), Situation(OVERDUE, LATER)) == decision


def test_going_on_without_proof_says_what_is_known() -> None:
    rollout = on_step(policy=a_policy(on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS))
    told = "time is over and less than 16 points worse is proved: it is insufficient"
    assert decide(rollout, Situation(OVERDUE, replace(LATER, is_not_gross=True))) == Advance(told)


@pytest.mark.parametrize(("early", "move"), [(SECOND, Hold), (0 * SECOND, Pause)])
def test_the_deadline_is_over_on_the_second(early: timedelta, move: type) -> None:
    rollout = on_step(policy=a_policy(deadline=timedelta(hours=2)))
    decision = decide(rollout, Situation(NOON + timedelta(hours=2) - early, LATER))
    assert isinstance(decision, move)
    if move is Pause:
        assert decision.because == "the deadline of 2:00:00 is over: it is insufficient"


def test_an_end_says_which_it_was() -> None:
    assert decide(a_rollout(phase=Phase.ROLLED_BACK), seen()) == Hold("the rollout is rolled_back")


BEFORE = a_rollout(
    phase=Phase.PROGRESSING, step=1, generation=5, started_at=NOON, step_started_at=NOON, measured_until=NOON
)
HALTED = replace(BEFORE, phase=Phase.PAUSED, paused_at=SOON, waiting_for=PERSON)


@pytest.mark.parametrize(
    ("rollout", "decision", "changes"),
    [
        (BEFORE, Hold("why", "what"), {"waiting_for": "what"}),
        (
            a_rollout(generation=5),
            Start("why"),
            {
                "phase": Phase.PROGRESSING,
                "step": 1,
                "generation": 6,
                "started_at": BAKED,
                "step_started_at": BAKED,
                "measured_until": BAKED,
            },
        ),
        (BEFORE, Advance("why"), {"step": 2, "generation": 6, "step_started_at": BAKED}),
        (
            HALTED,
            Advance("why", "kim"),
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
        (BEFORE, Pause("why", "kim"), {"phase": Phase.PAUSED, "paused_at": BAKED, "waiting_for": PERSON}),
        (
            BEFORE,
            Pause("why"),
            {"phase": Phase.PAUSED, "paused_at": BAKED, "waiting_for": PERSON, "generation": 6},
        ),
        (
            HALTED,
            Resume("why", "kim"),
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
            Resume("why", "kim"),
            {"phase": Phase.PENDING, "paused_at": None, "resumed_at": BAKED, "waiting_for": None},
        ),
        (BEFORE, Restore("why"), {"generation": 6}),
        (BEFORE, Promote("why"), {"phase": Phase.PROMOTED, "ended_at": BAKED, "generation": 6}),
        (
            HALTED,
            RollBack("why"),
            {"phase": Phase.ROLLED_BACK, "ended_at": BAKED, "generation": 6, "waiting_for": None},
        ),
        (BEFORE, Disable("why"), {"phase": Phase.DISABLED, "ended_at": BAKED, "generation": 6}),
        (BEFORE, Supersede("why"), {"phase": Phase.SUPERSEDED, "ended_at": BAKED, "generation": 6}),
        (BEFORE, Fail("why"), {"phase": Phase.FAILED, "ended_at": BAKED, "generation": 6}),
        (
            a_rollout(),
            Abort("why", "kim"),
            {"phase": Phase.ABORTED, "ended_at": BAKED, "ended_by": "kim", "generation": 2},
        ),
    ],
)
def test_a_move_changes_this_of_the_record_and_nothing_else(
    rollout: Rollout, decision: Decision, changes: dict[str, Any]
) -> None:
    assert after(rollout, decision, BAKED) == replace(rollout, because="why", **changes)
