"""Commands to a rollout that has not ended: what may be asked when, and a sentence where it may not."""

from dataclasses import replace
from shlex import quote

from foundry_rollouts.core.deciding.approving import denial, has_guards
from foundry_rollouts.core.deciding.verbs import objection_when_asked
from foundry_rollouts.core.model.approval import Approver
from foundry_rollouts.core.model.audit import AuditFilter, AuditOutcome
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import ConflictError, NotAllowedError
from foundry_rollouts.ports import Store

MOST_ASKERS = 50  #: More than ever ask for one version.


async def command(store: Store, asked: Command, approver: Approver | None = None) -> Rollout:
    """Leave ``asked`` for the next tick and return the rollout, whose generation has grown.

    ``approver`` is who asks to approve, by what they showed. Raises NotFoundError for an unknown rollout,
    NotAllowedError for somebody whose approval does not count, ConflictError when the phase makes no sense of it or
    somebody else was quicker. The same idempotency key again changes nothing.
    """
    rollout = await store.rollout(asked.rollout)
    is_counted = asked.verb is Verb.APPROVE and approver is not None and has_guards(rollout)
    # A command with an older generation is the repetition of one that was accepted, or it comes too late: the
    # store tells which. One with the present generation is new, and its author saw the phase that we see.
    if asked.generation == rollout.generation and (refusal := refusal_of(rollout, asked.verb)):
        raise ConflictError(f"rollout {rollout.id} {refusal}")
    if is_counted and approver is not None:
        # Whoever approves counts as themselves, whomever they name.
        asked = replace(asked, author=approver.name)
        await _refuse_approver(store, rollout, asked, approver)
    try:
        return await store.accept(asked)
    except ConflictError as error:
        raise ConflictError(f"{error}{await _help(store, asked)}") from None


async def denied(store: Store, rollout: Rollout, approver: Approver) -> str | None:
    """Say why ``approver`` may not approve the present step; None when they may.

    Whoever asked for a version that was on trial already is as much its author as who began the trial.
    """
    asked = await store.audit(
        AuditFilter(action="rollout.start", subject=rollout.id, outcome=AuditOutcome.ACCEPTED, limit=MOST_ASKERS)
    )
    return denial(rollout, approver, tuple(entry.author for entry in asked))


async def _refuse_approver(store: Store, rollout: Rollout, asked: Command, approver: Approver) -> None:
    """Raise NotAllowedError for somebody whose approval does not count.

    Whoever names a generation that is still to come would be measured by another step than the one they approve.
    """
    if asked.generation > rollout.generation:
        raise ConflictError(
            f"{asked.verb} names generation {asked.generation}, but rollout {rollout.id} is {rollout.phase} at"
            f" generation {rollout.generation}: read it again"
        )
    if asked.generation == rollout.generation and (why := await denied(store, rollout, approver)):
        raise NotAllowedError(f"nothing was done: {why}")


async def _help(store: Store, asked: Command) -> str:
    """Return the command that does help where ``asked`` does not."""
    rollout = await store.rollout(asked.rollout)
    if rollout.phase.is_final:
        return f"; {way_back(rollout)}"
    if any(command.verb is asked.verb for command in await store.commands(rollout.id)):
        return f"; 'foundry-rollouts rollout show {rollout.id}' shows what it waits for"
    return ""


def without_us(verb: Verb) -> str:
    """Return what helps where a command does not reach the database; nothing but an abort is as urgent."""
    if verb is not Verb.ABORT:
        return ""
    back = "'foundry-rollouts agent route AGENT STABLE=100'"
    return (
        f"; the command may not be recorded: repeat it once the database answers. {back} goes back without it, at once"
    )


def way_back(rollout: Rollout) -> str:
    """Name the command that sends users back from an ended rollout's version, or to another one."""
    start = f"foundry-rollouts rollout start --agent {quote(rollout.agent)} --version"
    if rollout.phase is Phase.PROMOTED and rollout.stable:
        return f"'{start} {quote(rollout.stable)}' goes back at once"
    if rollout.phase in {Phase.ROLLED_BACK, Phase.SUPERSEDED, Phase.FAILED, Phase.ABORTED} and rollout.stable:
        return f"version {rollout.stable} was stable at its end: '{start} OLD' goes back to the one before at once"
    return f"'{start} N' starts another version"


def refusal_of(rollout: Rollout, verb: Verb) -> str | None:
    """Say why ``verb`` makes no sense for ``rollout`` as it stands, and what does; None when it makes sense."""
    objection = objection_when_asked(rollout, verb)
    return f"{objection}; {way_back(rollout)}" if objection and rollout.phase.is_final else objection
