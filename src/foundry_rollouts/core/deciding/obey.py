"""Do what a person asks of a rollout, and the two ways that lead on: forward and back."""

from collections.abc import Sequence
from dataclasses import replace

from foundry_rollouts.core.deciding.verbs import objection_when_due
from foundry_rollouts.core.judging.constants import STEP_BACKS
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.rollout import Rollout


def apply_command(rollout: Rollout, command: Command) -> Decision:
    """Do what a person asks, or say why there is nothing to do."""
    if objection := objection_when_due(rollout, command.verb):
        because = f"{command.because}. Nothing was done: {objection}"
        return Decision(Move.DECLINE, because, author=command.author)
    match command.verb:
        case Verb.ABORT:
            return abort(rollout, command)
        case Verb.PAUSE:
            return Decision(Move.PAUSE, command.because, author=command.author)
        case Verb.PROMOTE | Verb.APPROVE if rollout.step:
            return advance_or_promote(rollout, command.because, command.author)
        case _:  # What has not begun begins by itself, once it is let go.
            return Decision(Move.RESUME, command.because, author=command.author)


def abort(rollout: Rollout, command: Command) -> Decision:
    """End a rollout at the word of a person; what has not begun moves nothing."""
    if rollout.step:
        return retreat(rollout, command.because, command.author)
    return Decision(Move.ABORT, f"{command.because}; aborted before it began, nothing was moved", author=command.author)


def retreat(rollout: Rollout, because: str, author: str | None = None) -> Decision:
    """Go back to the stable version, or close the endpoint if there is none."""
    return (
        Decision(Move.ROLL_BACK, because, author=author)
        if rollout.refuge
        else Decision(Move.DISABLE, because, author=author)
    )


def advance_or_promote(rollout: Rollout, because: str, author: str | None = None) -> Decision:
    """Take the next step; behind the last one, promote."""
    is_last = rollout.is_on_last_step or rollout.is_stable_gone
    return Decision(Move.PROMOTE, because, author=author) if is_last else Decision(Move.ADVANCE, because, author=author)


def step_back(rollout: Rollout, because: str) -> Decision | None:
    """Give a canary that has all traffic the last weight at which it is compared; None where the plan has none.

    Where it comes to that for the third time, a person decides what is next.
    """
    number = rollout.step_below_all
    if number is None or rollout.refuge is None:
        return None
    said = f"stepped back to {rollout.policy.weight_at(number)}% because {because}"
    if rollout.step_backs + 1 < STEP_BACKS:
        return Decision(Move.STEP_BACK, said, step=number)
    return Decision(
        Move.STEP_BACK, f"{said}; that makes {rollout.step_backs + 1} times, so a person decides", step=number
    )


def answered(decision: Decision, then: Rollout, commands: Sequence[Command]) -> tuple[Command, ...]:
    """Return those of the open ``commands`` that need no more attention once ``decision`` is carried out.

    They are the one that it answers, the most urgent, and what that overrules: a pause what was asked before it, a
    step forward every other wish for it. The end of the rollout answers all. What harm was quicker than stays open.
    """
    if then.phase.is_final:
        return tuple(commands)
    if decision.author is None or not commands:
        return ()
    first = commands[0]
    return (first, *(each for each in commands[1:] if _overrules(first, decision, each)))


def _overrules(first: Command, decision: Decision, other: Command) -> bool:
    if first.verb is Verb.PAUSE:
        return other.generation < first.generation
    return decision.move is Move.ADVANCE and other.verb in {Verb.PROMOTE, Verb.APPROVE}


def saying_whom(decision: Decision, closed: Sequence[Command]) -> Decision:
    """Return ``decision`` with a sentence that names every request which it answers beside its own."""
    others = [each.because for each in closed if each.because not in decision.because]
    if not others:
        return decision
    return replace(decision, because=f"{decision.because}. This answers, too: {'; '.join(others)}")
