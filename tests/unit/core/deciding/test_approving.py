"""Approvals: who counts, how many are needed, what voids them, and that no answer is ever a yes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.deciding.approving import TIME_LIMIT, asking, denial, fingerprint
from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.queue import holds_queue
from foundry_rollouts.core.deciding.transition import Transition, transition
from foundry_rollouts.core.deciding.verbs import objection_when_asked
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.model.access import ANYBODY, Role
from foundry_rollouts.core.model.approval import Approval, ApprovalStep, Approver, OnTimeout
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Move
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import BrokenLawError, UsageError

IN_FORCE = "0123456789ab"


def waiting(**terms: Any) -> Rollout:
    """Return a rollout that waits for approvals at 10%."""
    steps = (WeightStep(10), ApprovalStep(**{"count": 2, **terms}), WeightStep(100))
    rollout = a_rollout(
        policy=a_policy(steps=steps),
        phase=Phase.PROGRESSING,
        step=2,
        generation=5,
        started_at=NOON,
        step_started_at=NOON,
        author="ann",
        canary_content="aa",
    )
    return asking(rollout, IN_FORCE)


def asked(author: str, verb: Verb = Verb.APPROVE, generation: int = 5) -> Command:
    return Command(f"c-{author}-{verb}", "r-1", verb, generation, NOON, author)


def ticked(rollout: Rollout, *commands: Command, after: timedelta = timedelta(0), **seen: Any) -> Transition:
    """Return what a tick makes of ``commands``, which are about what was asked unless they say something else."""
    commands = tuple(each if each.about else replace(each, about=rollout.asked_about) for each in commands)
    analysis = Analysis(Verdict.INSUFFICIENT, "no proof yet", initial(rollout.policy))
    situation: dict[str, Any] = {"policy_in_force": IN_FORCE, "analysis": analysis} | seen
    return transition(rollout, rollout, Situation(NOON + after, commands=commands, **situation))


def test_two_people_are_two_and_the_second_goes_on_with_both_names() -> None:
    first = ticked(waiting(), asked("bob"))
    assert (first.decision.move, first.then.step) == (Move.APPROVE, 2)
    assert first.event is not None
    assert (first.event.kind, first.event.author) == ("rollout.approved", "bob")
    assert first.event.because == "bob asked to approve. 1 of 2 approved, by bob"
    assert first.then.waiting_for == "a person: approve or abort; 1 of 2 approved, by bob"
    second = ticked(first.then, asked("cyd"))
    assert (second.decision.move, second.then.step, second.then.approvals) == (Move.ADVANCE, 3, ())
    assert second.event is not None
    assert second.event.because == "cyd asked to approve, as bob did before"


def test_the_same_person_twice_counts_once() -> None:
    first = ticked(waiting(), asked("bob")).then
    again = ticked(first, asked("bob", generation=6))
    assert (again.decision.move, again.then.approvals) == (Move.DECLINE, first.approvals)
    assert "bob approved it before, and counts once" in again.decision.because
    assert ticked(first, asked("BOB", generation=6)).decision.move is Move.DECLINE


def test_two_that_wait_at_once_are_counted_one_after_the_other() -> None:
    first = ticked(waiting(), asked("bob"), asked("cyd", generation=6))
    assert [command.author for command in first.answered] == ["bob"]
    second = ticked(first.then, asked("cyd", generation=6))
    assert second.then.step == 3


@pytest.mark.parametrize("author", ["ann", "someone via ann", "ann via ci", "Ann", " ANN ", "\uff41nn"])
def test_who_asked_for_the_rollout_does_not_count_where_the_policy_says_so(author: str) -> None:
    theirs = replace(waiting(not_author=True), author=author)
    assert "somebody else" in (denial(theirs, Approver("ann", Role.ADMIN)) or "")
    assert ticked(theirs, asked("ann")).decision.move is Move.DECLINE
    assert denial(theirs, Approver("bob", Role.OPERATOR)) is None
    assert denial(replace(theirs, author=None), Approver("ann", Role.ADMIN)) is None
    assert denial(replace(waiting(), author=author), Approver("ann", Role.OPERATOR)) is None


def test_who_asked_for_what_was_on_trial_already_is_as_much_its_author() -> None:
    found = replace(waiting(not_author=True), author=None)
    assert denial(found, Approver("bob", Role.OPERATOR), ("ci via bob",)) is not None
    assert denial(found, Approver("cyd", Role.OPERATOR), ("ci via bob",)) is None


def test_whoever_shows_nothing_may_not_say_that_they_are_somebody_else() -> None:
    nobody = Approver.of(ANYBODY, "bob")
    assert (nobody.name, nobody.is_known) == ("bob", False)
    assert "nobody shows who they are" in (denial(waiting(), nobody) or "")
    assert denial(waiting(count=1), nobody) is None


@pytest.mark.parametrize(
    ("by", "who", "may"),
    [
        (("admin",), Approver("bob", Role.OPERATOR), False),
        (("admin",), Approver("bob", Role.ADMIN), True),
        (("operator",), Approver("bob", Role.ADMIN), True),
        (("bob",), Approver("bob", Role.OPERATOR), True),
        (("release-team",), Approver("bob", Role.ADMIN), False),
        (("release-team",), Approver("bob", Role.OPERATOR, ("release-team",)), True),
    ],
)
def test_a_role_a_group_or_a_name_must_fit(by: tuple[str, ...], who: Approver, may: bool) -> None:
    assert (denial(waiting(by=by), who) is None) is may


@pytest.mark.parametrize(
    ("then", "move", "phase"),
    [
        (OnTimeout.HOLD, Move.HOLD, Phase.PROGRESSING),
        (OnTimeout.ROLLBACK, Move.ROLL_BACK, Phase.ROLLED_BACK),
        (OnTimeout.ABORT, Move.ROLL_BACK, Phase.ROLLED_BACK),
    ],
)
def test_no_answer_in_time_is_never_a_yes(then: OnTimeout, move: Move, phase: Phase) -> None:
    rollout = waiting(timeout=timedelta(hours=4), then=then)
    assert ticked(rollout, after=timedelta(hours=4) - timedelta(seconds=1)).decision.move is Move.HOLD
    late = ticked(rollout, after=timedelta(hours=4))
    assert (late.decision.move, late.then.phase, late.then.step) == (move, phase, 2)
    assert late.then.ended_by == (TIME_LIMIT if then is OnTimeout.ABORT else None)
    assert holds_queue(late.then) is (then is OnTimeout.ABORT)
    if then is not OnTimeout.HOLD:
        assert late.decision.because.startswith("not approved within 4 h: 0 of 2 approved")


@pytest.mark.parametrize(("then", "counts"), [(OnTimeout.HOLD, True), (OnTimeout.ROLLBACK, False)])
@pytest.mark.parametrize("guards", [{"count": 1}, {"count": 1, "not_author": True}])
def test_an_answer_that_comes_too_late_is_none_however_late_the_tick_is(
    then: OnTimeout, counts: bool, guards: dict[str, Any]
) -> None:
    rollout = waiting(timeout=timedelta(hours=4), then=then, **guards)
    late = replace(asked("bob"), at=NOON + timedelta(hours=4))
    in_time = replace(late, at=NOON + timedelta(hours=4, seconds=-1))
    assert ticked(rollout, in_time, after=timedelta(hours=9)).then.step == 3
    ended = ticked(rollout, late, after=timedelta(hours=9))
    assert (ended.decision.move is Move.ADVANCE) is counts
    assert ended.then.phase is (Phase.PROGRESSING if counts else Phase.ROLLED_BACK)


def test_time_stands_while_it_is_paused() -> None:
    rollout = waiting(timeout=timedelta(hours=4), then=OnTimeout.ROLLBACK)
    paused = replace(rollout, phase=Phase.PAUSED, paused_at=NOON + timedelta(hours=1))
    assert ticked(paused, after=timedelta(hours=5)).decision.move is Move.HOLD


@pytest.mark.parametrize(
    "but",
    [
        {"canary_content": "bb"},
        {"canary_created_at": NOON},
        {"policy": a_policy(steps=waiting().policy.steps, name="x")},
    ],
)
def test_a_version_or_policy_that_changed_voids_what_was_approved(but: dict[str, Any]) -> None:
    changed = replace(ticked(waiting(), asked("bob")).then, **but)
    void = ticked(changed)
    assert (void.decision.move, void.then.approvals) == (Move.VOID, ())
    assert void.event is not None
    assert void.event.kind == "rollout.approval_voided"
    assert "was changed after bob approved: that no longer counts. 0 of 2 approved" in void.event.because
    assert void.then.generation == changed.generation + 1
    assert void.then.waiting_for == "a person: approve or abort; 0 of 2 approved"
    # Who approved what was there before did not see what is there now.
    late = replace(asked("cyd"), about=changed.asked_about)
    for rollout in (changed, void.then):
        declined = ticked(rollout, late)
        assert (declined.decision.move, declined.then.approvals) == (Move.DECLINE, rollout.approvals)
        assert "was changed since cyd saw it" in declined.decision.because
    assert ticked(ticked(void.then, asked("bob")).then, asked("cyd")).then.step == 3


def test_what_is_asked_is_said_once_and_anew_at_each_step() -> None:
    rollout = replace(waiting(), asked_about=None)
    first = ticked(rollout)
    assert (first.decision.move, first.then.asked_about) == (Move.HOLD, waiting().asked_about)
    assert ticked(first.then, policy_in_force="fedcba987654").decision.because.endswith(
        "was changed before anybody approved. 0 of 2 approved"
    )
    gone_on = ticked(ticked(first.then, asked("bob")).then, asked("cyd")).then
    assert (gone_on.step, gone_on.asked_about, gone_on.approvals) == (3, None, ())


def test_a_pause_keeps_what_was_approved_and_a_change_meanwhile_voids_it_afterwards() -> None:
    paused = replace(ticked(waiting(), asked("bob")).then, phase=Phase.PAUSED, paused_at=NOON)
    assert ticked(paused, policy_in_force=None).then.approvals == paused.approvals
    resumed = ticked(paused, asked("kim", Verb.RESUME), policy_in_force=None).then
    assert ticked(resumed, policy_in_force=None).decision.move is Move.VOID


def test_a_policy_in_force_that_changed_voids_it_and_one_that_did_not_does_not() -> None:
    approved = ticked(waiting(), asked("bob")).then
    assert ticked(approved).decision.move is Move.HOLD
    assert ticked(approved, policy_in_force="fedcba987654").decision.move is Move.VOID
    assert ticked(approved, policy_in_force=None).decision.move is Move.VOID


def test_to_promote_replaces_no_approval_and_a_plain_one_is_as_ever() -> None:
    assert "replaces none" in (objection_when_asked(waiting(), Verb.PROMOTE) or "")
    assert ticked(waiting(), asked("bob", Verb.PROMOTE)).decision.move is Move.DECLINE
    plain = waiting(count=1)
    assert objection_when_asked(plain, Verb.PROMOTE) is None
    assert ticked(plain, asked("ann")).then.step == 3


def test_a_step_that_goes_on_with_too_few_breaks_a_law() -> None:
    step = ticked(waiting(), asked("bob"))
    wrong = replace(step.decision, move=Move.ADVANCE, because="bob says so")
    everyone = Routing.of({"2": 100})
    with pytest.raises(BrokenLawError, match="1 of 2 approved"):
        replace(step, decision=wrong, then=replace(step.then, step=3), target=everyone)


def test_harm_goes_back_whatever_was_approved() -> None:
    approved = ticked(waiting(), asked("bob")).then
    harm = Analysis(Verdict.FAIL, "14 of 44 failed", initial(approved.policy))
    assert ticked(approved, asked("cyd"), analysis=harm).decision.move is Move.ROLL_BACK
    assert ticked(approved, asked("cyd", Verb.ABORT)).decision.move is Move.ROLL_BACK


def test_what_is_approved_is_the_same_for_the_same_and_another_for_anything_else() -> None:
    rollout = waiting()
    others = {
        fingerprint(rollout, IN_FORCE),
        fingerprint(rollout, None),
        fingerprint(replace(rollout, canary="3"), IN_FORCE),
        fingerprint(replace(rollout, canary_content=None), IN_FORCE),
    }
    assert len(others) == 4
    assert fingerprint(replace(rollout, approvals=(Approval("bob", NOON, "x"),)), IN_FORCE) in others


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"count": 0}, "count 0"),
        ({"timeout": timedelta(0)}, "longer than nothing"),
        ({"then": OnTimeout.ABORT}, "never"),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ApprovalStep(**terms)
