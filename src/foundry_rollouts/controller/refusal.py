"""A change that the cloud refuses: people are told what it said, and it is sent again after a pause."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.move import Move, move_by
from foundry_rollouts.controller.observe import Sight
from foundry_rollouts.core.judging.analysis import Analysis
from foundry_rollouts.core.model.backoff import BACK, FORWARD, Refused, Refusing, refused_again
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.decision import Hold
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import ChangeError, DriftError
from foundry_rollouts.ports import Event, Intent, Lease, Record, World

log = structlog.get_logger()

#: What a rollout waits for while a change is refused.
CLOUD = "the cloud to take the change"
#: More of a refusal's own words is for the log.
MOST_WORDS = 300

#: How the cloud keeps a change from coming about.
Refusal = ChangeError | DriftError


def step_refused(stands: Rollout, then: Rollout, error: Refusal, now: datetime) -> Refused:
    """Return what is known once the step that leads to ``then`` was refused to the rollout as it ``stands``."""
    is_last = then.phase is Phase.PROMOTED
    what = f"the promotion of version {then.canary}" if is_last else f"the step to {then.weight}%"
    return refused_again(stands.refused, _refusing(what, error), FORWARD, now)


def is_silent(error: Refusal) -> bool:
    """Whether no answer came, so that it may have been done: a look tells, before it is called refused."""
    return isinstance(error, ChangeError) and error.refusal.status is None


def back_refused(before: Refused | None, target: Routing, error: Refusal, now: datetime) -> Refused:
    """Return what is known once the way back to ``target`` was refused."""
    return refused_again(before, _refusing(f"the way back to {target}", error), BACK, now)


def is_resting(refused: Refused | None, commands: Sequence[Command], now: datetime) -> bool:
    """Whether a change that was refused is not to be sent yet; a request that came since is tried at once."""
    return refused is not None and now < refused.until and not any(each.at > refused.at for each in commands)


def unless_refused(move: Move, rollout: Rollout, sight: Sight, analysis: Analysis | None, now: datetime) -> Move:
    """Return the move, or a wait where the cloud refused such a one a moment ago; ways back are never kept waiting."""
    refused = rollout.refused
    if refused is None or not move.is_step or not is_resting(refused, sight.commands, now):
        return move
    wait = move_by(rollout, Hold(refused.sentence(now), CLOUD), sight, analysis, now)
    return replace(wait, is_withheld=True)


def noted(rollout: Rollout, refused: Refused, now: datetime, harm: str | None = None) -> Rollout:
    """Return ``rollout`` as it waits for the cloud to take a change; ``harm`` is why a retreat is wanted."""
    because = refused.sentence(now)
    return replace(rollout, refused=refused, because=f"{harm}. {because}" if harm else because, waiting_for=CLOUD)


def event_of_refusal(
    agent: str, rollout: Rollout | None, before: Refused | None, refused: Refused, now: datetime
) -> Event | None:
    """Return the event of a refusal, once for each kind; None where that was told.

    Its number is none of the rollout's own: the end that an open intent will write has one already.
    """
    kinds = refused.told[len(before.told) if before else 0 :]
    if not kinds:
        return None
    return Event(
        id=f"{rollout.id if rollout else agent}:refused:{kinds[0]}:{int(refused.since.timestamp() * 1000)}",
        at=now,
        kind="rollout.refused" if rollout else "agent.refused",
        agent=agent,
        because=rollout.because if rollout else refused.sentence(now),
        rollout=rollout.id if rollout else None,
        step=(rollout.step or None) if rollout else None,
    )


async def note_retreat(world: World, lease: Lease, intent: Intent, error: Refusal, now: datetime) -> None:
    """Report that a retreat is refused, and let its intent, which stays open, rest for a while."""
    planned = intent.record.rollout
    refused = back_refused(intent.refused, intent.target, error, now)
    rollout = None
    if planned is not None:
        rollout = noted(await world.store.rollout(planned.id), refused, now, planned.because)
    event = event_of_refusal(lease.agent, rollout, intent.refused, refused, now)
    # Its next look is the intent's: the rollout itself is not due before.
    await world.store.record(lease, Record(event=event, rollout=rollout, due_at=refused.until))
    await world.store.open_intent(lease, replace(intent, refused=refused))
    log.warning("change.refused", agent=lease.agent, because=refused.says, again_in=(refused.until - now).seconds)


def _refusing(what: str, error: Refusal) -> Refusing:
    if isinstance(error, DriftError):
        return Refusing("not-kept", f"the cloud takes {what} and does not keep it: {_short(str(error))}")
    refusal, asked = error.refusal, error.retry_after
    wish = f" (it asks to wait {round(asked / timedelta(seconds=1))} s)" if asked else ""
    if refusal.status is None:
        return Refusing("no-answer", f"the cloud does not answer to {what}: {_short(refusal.message)}{wish}", asked)
    words = " ".join(word for word in (str(refusal.status), refusal.code) if word)
    return Refusing(str(refusal.status), f"the cloud refuses {what}: {words}: {_short(refusal.message)}{wish}", asked)


def _short(text: str) -> str:
    return text if len(text) <= MOST_WORDS else text[:MOST_WORDS] + " ..."
