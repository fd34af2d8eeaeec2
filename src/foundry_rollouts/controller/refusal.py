"""A change that the cloud refuses: people read what it said, and it is sent again after a pause."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.record import record_of_agent, record_of_rollout
from foundry_rollouts.core.deciding.refused import Refusal, back_refused, event_of_refusal, noted, step_refused
from foundry_rollouts.core.deciding.transition import Transition
from foundry_rollouts.ports import Intent, Lease, Record, World

log = structlog.get_logger()


def record_of_refusal(step: Transition, record: Record, error: Refusal, now: datetime, period: timedelta) -> Record:
    """Return what is written down instead of ``record`` of a step that the cloud refused; commands stay open."""
    stands = step.before
    if step.analysis is not None:
        stands = replace(stands, verdict=step.analysis.verdict, measured_until=step.then.measured_until)
    refused = step_refused(stands, step.then, error, now)
    then = noted(stands, refused, now)
    return replace(
        record,
        event=event_of_refusal(then.agent, then, stands.refused, refused, now),
        rollout=then,
        evidence=step.analysis.evidence if step.analysis else None,
        obeyed=(),
        due_at=now + period,
        stable=None,
        kept=None,
        holds_queue=False,
    )


async def note_retreat(world: World, lease: Lease, intent: Intent, error: Refusal, now: datetime) -> None:
    """Report that a retreat is refused, and let its intent, which stays open, rest for a while."""
    planned = intent.record.rollout
    refused = back_refused(intent.refused, intent.target, error, now)
    rollout = None
    if planned is not None:
        rollout = noted(await world.store.rollout(planned.id), refused, now, planned.because)
    event = event_of_refusal(lease.agent, rollout, intent.refused, refused, now)
    # Its next try is the intent's: the rollout itself is not due before.
    await world.store.record(
        lease, record_of_rollout(rollout, event, due_at=refused.until) if rollout else record_of_agent(event)
    )
    await world.store.open_intent(lease, replace(intent, refused=refused))
    log.warning("change.refused", agent=lease.agent, because=refused.says, again_in=(refused.until - now).seconds)
