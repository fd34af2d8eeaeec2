"""Approvals: who may give one, how many there are, what voids them, and what comes when nobody answers.

What is approved is this version under this policy. An approval of anything else does not count, and no answer is never
a yes.
"""

from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from foundry_rollouts.core.deciding.obey import advance_or_promote, retreat
from foundry_rollouts.core.deciding.verbs import objection_when_due
from foundry_rollouts.core.model.access import is_author, is_same_person
from foundry_rollouts.core.model.approval import Approval, ApprovalStep, Approver, OnTimeout
from foundry_rollouts.core.model.backoff import spelled
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.core.model.rollout import Phase, Rollout

#: Who ends a rollout that nobody approved in time, in the sentence of what waits behind it.
TIME_LIMIT = "the time limit of the approval"


def fingerprint(rollout: Rollout, in_force: str | None) -> str:
    """Return what is approved: the version by its number, age and content, and the policy, as it is and as it was.

    ``in_force`` is the hash of the policy of that name that new rollouts get now.
    """
    made = rollout.canary_created_at.isoformat() if rollout.canary_created_at else ""
    parts = (rollout.canary, made, rollout.canary_content or "", policy_hash(rollout.policy), in_force or "")
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def asking(rollout: Rollout, in_force: str | None) -> Rollout:
    """Return the rollout with what people are asked to approve, where it has just come to that step."""
    is_asking = rollout.waits_for_approval and not rollout.phase.is_final
    if not is_asking or rollout.asked_about is not None:
        return rollout
    return replace(rollout, asked_about=fingerprint(rollout, in_force))


def step_of(rollout: Rollout) -> ApprovalStep | None:
    """Return the step at which people are asked; None: it stands at none."""
    step = rollout.present_step
    return step if isinstance(step, ApprovalStep) else None


def has_guards(rollout: Rollout) -> bool:
    """Whether it matters at any of its steps who approves."""
    return any(isinstance(step, ApprovalStep) and step.is_guarded for step in rollout.policy.steps)


def denial(rollout: Rollout, who: Approver, askers: tuple[str, ...] = ()) -> str | None:
    """Say why ``who`` may not approve; None when they may. ``askers`` asked for the rollout, too, and joined it."""
    step = step_of(rollout)
    if step is None or not step.is_guarded:
        return None
    if not who.is_known:
        return (
            "its policy wants certain people to approve, and here nobody shows who they are: set "
            "FOUNDRY_ROLLOUTS_ACCESS=required, and give each person a token or let them sign in"
        )
    if step.not_author and any(is_author(author, who.name) for author in (rollout.author, *askers) if author):
        return f"{who.name} asked for this rollout, and its policy wants somebody else to approve it"
    if step.by and not any(who.fits(each) for each in step.by):
        return f"{who.name} may not approve it: its policy names {', '.join(step.by)}"
    return None


def counted(
    rollout: Rollout, command: Command, now: datetime, in_force: str | None, doubt: str | None = None
) -> Decision | None:
    """Count an approval: the last one that is needed goes on. None where any command of an operator will do.

    While there is ``doubt`` whether the version is still the one that was approved, the approval waits, too.
    """
    step = step_of(rollout)
    if step is None or command.verb is not Verb.APPROVE or objection_when_due(rollout, command.verb):
        return None
    if late := _late(rollout, step, command, now):
        return late
    if doubt:
        return Decision(Move.HOLD, f"{doubt}; {command.because}", "a second read")
    if not step.is_guarded:
        return None
    of = fingerprint(rollout, in_force)
    given = tuple(each for each in rollout.approvals if each.of == of)
    if why := _why_not(rollout, step, command, of, given):
        return Decision(Move.DECLINE, f"{command.because}. Nothing was done: {why}", author=command.author)
    given = (*given, Approval(command.author, now, of))
    if len(given) < step.count:
        because = f"{command.because}. {tally(step, given)}"
        return Decision(Move.APPROVE, because, awaited(rollout, now, given), command.author, approvals=given)
    earlier = " and ".join(each.by for each in given[:-1])
    because = command.because + (f", as {earlier} did before" if earlier else "")
    return replace(advance_or_promote(rollout, because, command.author), approvals=given)


def _why_not(
    rollout: Rollout, step: ApprovalStep, command: Command, of: str, given: tuple[Approval, ...]
) -> str | None:
    """Say why an approval does not count; None when it does."""
    if command.about != of:
        return f"the version or policy {rollout.policy.name} was changed since {command.author} saw it"
    if step.not_author and rollout.author and is_author(rollout.author, command.author):
        return "who asked for the rollout does not count"
    if any(is_same_person(each.by, command.author) for each in given):
        return f"{command.author} approved it before, and counts once"
    return None


def _late(rollout: Rollout, step: ApprovalStep, command: Command, now: datetime) -> Decision | None:
    """Return the way back where an answer came after its time, however late the tick is that reads it."""
    if step.timeout is None or command.at < _deadline(rollout, step, now):
        return None
    return unanswered(rollout, now)


def voided(rollout: Rollout, now: datetime, in_force: str | None) -> Decision | None:
    """Take away approvals of what is no longer there, and ask for what is; None while nothing changed."""
    step = step_of(rollout)
    is_asking = step is not None and step.is_guarded and rollout.phase is Phase.PROGRESSING
    if step is None or not is_asking or rollout.asked_about is None:
        return None
    if rollout.asked_about == fingerprint(rollout, in_force):
        return None
    lost = " and ".join(each.by for each in rollout.approvals)
    changed = f"the version or policy {rollout.policy.name} was changed"
    said = f"{changed} after {lost} approved: that no longer counts" if lost else f"{changed} before anybody approved"
    return Decision(Move.VOID, f"{said}. {tally(step, ())}", awaited(rollout, now, ()))


def unanswered(rollout: Rollout, now: datetime) -> Decision | None:
    """Do what the policy says once the time to approve is over; None where it waits on."""
    step = step_of(rollout)
    if step is None or step.timeout is None or rollout.phase is not Phase.PROGRESSING:
        return None
    if step.then is OnTimeout.HOLD or rollout.step_age(now) < step.timeout:
        return None
    back = retreat(rollout, f"not approved within {spelled(step.timeout)}: {tally(step, rollout.approvals)}")
    return replace(back, ended_by=TIME_LIMIT) if step.then is OnTimeout.ABORT else back


def awaited(rollout: Rollout, now: datetime, given: tuple[Approval, ...] | None = None) -> str:
    """Say whom a step waits for, how many have approved, and until when; it begins as each wait for an approval."""
    step = step_of(rollout)
    wait = "a person: approve or abort"
    if step is None:
        return wait
    said = [wait]
    if step.by:
        said.append(f"by {' or '.join(step.by)}")
    if step.is_guarded:
        said.append(tally(step, rollout.approvals if given is None else given))
    if step.timeout is not None:
        said.append(f"time for it ends at {_deadline(rollout, step, now):%Y-%m-%d %H:%M:%S} UTC, then {step.then}")
    return "; ".join(said)


def tally(step: ApprovalStep, given: tuple[Approval, ...]) -> str:
    """Say how many of how many approved, and who."""
    by = f", by {' and '.join(each.by for each in given)}" if given else ""
    return f"{len(given)} of {step.count} approved{by}"


def deadline(rollout: Rollout, now: datetime) -> datetime | None:
    """Return when the time to approve is over, were its clock to go on; None: never."""
    step = step_of(rollout)
    return _deadline(rollout, step, now) if step is not None and step.timeout is not None else None


def _deadline(rollout: Rollout, step: ApprovalStep, now: datetime) -> datetime:
    assert step.timeout is not None  # noqa: S101 - who asks has checked
    return now + step.timeout - rollout.step_age(now)
