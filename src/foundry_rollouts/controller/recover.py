"""Settle an intent that an earlier process, or an earlier try, left open.

The routing now seen tells how far it came: where it was sent to, it is recorded. Where it was not, the change is sent
again, so that an answer that comes late finds nothing else; only a step forward that has grown old, or that the cloud
does not take, is forgotten, for it has to be decided anew on fresh evidence, and harm is not to wait for it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.act import bring_about, confirm, while_ours, with_unanswered
from foundry_rollouts.controller.drain import end_sessions
from foundry_rollouts.core.routing import Routing
from foundry_rollouts.errors import CloudError, DriftError, LeaseLostError
from foundry_rollouts.ports import Cloud, Event, Intent, Lease, Record, VersionStatus, World
from foundry_rollouts.ports.urgency import Urgency, urgently

log = structlog.get_logger()

#: A step forward that could not be taken for so long rests on old evidence.
FORWARD_WITHIN = timedelta(minutes=2)
GONE = {VersionStatus.DELETED, VersionStatus.DELETING}


async def recover(world: World, lease: Lease, now: Callable[[], datetime]) -> tuple[Lease, Record | None]:
    """Settle the open intent of an agent; return what was written down for it, as the first would have done.

    The lease comes back as it was prolonged meanwhile. Raises CloudError or DriftError while the cloud cannot be read
    or does not take a retreat, LeaseLostError when it is no longer ours to settle.
    """
    intent = await world.store.intent(lease.agent)
    if intent is None:
        return lease, None
    lease = await _prolonged(world, lease, now())
    with urgently(Urgency.FIRST if intent.is_retreat else Urgency.BRIEF):
        seen = (await world.cloud.agent(lease.agent)).routing
    if await _is_overtaken(world, intent):
        await _drop(world, lease, intent, now())
        log.info("intent.overtaken", agent=lease.agent, intent=intent.id, routing=str(seen))
        return lease, None
    if seen == intent.target:
        return lease, await _complete(world, lease, intent)
    if intent.is_retreat:
        return lease, await _go_back(world, lease, intent, seen, now)
    return await _go_forward(world, lease, intent, seen, now)


async def _prolonged(world: World, lease: Lease, now: datetime) -> Lease:
    kept = await world.store.renew([lease], now)
    if not kept:
        raise LeaseLostError(f"the lease of agent {lease.agent} was lost before its intent could be settled")
    return kept[0]


async def _is_overtaken(world: World, intent: Intent) -> bool:
    """Whether the rollout ended while its step forward was open: a canary was taken back without a database."""
    planned = intent.record.rollout
    if intent.is_retreat or planned is None:
        return False
    return (await world.store.rollout(planned.id)).phase.is_final


async def _drop(world: World, lease: Lease, intent: Intent, now: datetime) -> None:
    """Forget what was wanted, but not that it may have been sent."""
    planned = intent.record.rollout
    if planned is None:
        await world.store.drop_intent(lease, intent)
        return
    stands = Record(rollout=await world.store.rollout(planned.id), due_at=now)
    await world.store.record(lease, with_unanswered(stands, intent), closes=intent)


async def _complete(world: World, lease: Lease, intent: Intent) -> Record:
    record = await end_sessions(world.sessions, with_unanswered(intent.record, intent))
    await world.store.record(lease, record, closes=intent)
    log.info("intent.completed", agent=lease.agent, intent=intent.id, routing=str(intent.target))
    return record


async def _go_forward(
    world: World, lease: Lease, intent: Intent, seen: Routing, now: Callable[[], datetime]
) -> tuple[Lease, Record | None]:
    """Try once more, briefly; a step that the cloud does not take is forgotten, and whoever ticks goes on."""
    because = "it has grown old, or the routing is another one"
    if seen == intent.before and now() - intent.opened_at < FORWARD_WITHIN:
        try:
            with urgently(Urgency.BRIEF):
                await _send_again(world.cloud, lease, intent, seen, now)
        except (CloudError, DriftError) as error:
            because = str(error)
        else:
            return lease, await _complete(world, lease, intent)
        lease, intent = await _prolonged(world, lease, now()), replace(intent, opened_at=now())
    await _drop(world, lease, intent, now())
    log.info("intent.dropped", agent=lease.agent, intent=intent.id, routing=str(seen), because=because)
    return lease, None


async def _go_back(
    world: World, lease: Lease, intent: Intent, seen: Routing, now: Callable[[], datetime]
) -> Record | None:
    try:
        with urgently(Urgency.FIRST):
            await _send_again(world.cloud, lease, intent, seen, now)
    except CloudError as error:
        if error.refusal.status in {400, 404} and await _is_stable_gone(world, intent):
            return await _go_on_without_stable(world, lease, intent, now())
        raise
    return await _complete(world, lease, intent)


async def _send_again(cloud: Cloud, lease: Lease, intent: Intent, seen: Routing, now: Callable[[], datetime]) -> None:
    async with while_ours(lease, now):
        await bring_about(cloud, lease.agent, seen, intent.target)
    await confirm(cloud, lease.agent, intent.target)


async def _is_stable_gone(world: World, intent: Intent) -> bool:
    rollout = intent.record.rollout
    if not intent.is_retreat or rollout is None or rollout.stable is None:
        return False
    try:
        return (await world.cloud.version(intent.agent, rollout.stable)).status in GONE
    except CloudError as error:
        return error.is_missing


async def _go_on_without_stable(world: World, lease: Lease, intent: Intent, now: datetime) -> Record | None:
    """Note that there is no version to go back to; the next tick decides on the same evidence what is left."""
    planned = intent.record.rollout
    if planned is None:
        return None
    rollout = await world.store.rollout(planned.id)
    because = f"stable version {rollout.stable} was deleted: there is no version to go back to"
    event = Event(
        id=f"{rollout.id}:{rollout.events + 1}",
        at=now,
        kind="rollout.held",
        agent=rollout.agent,
        because=because,
        rollout=rollout.id,
        step=rollout.step or None,
    )
    left = replace(rollout, stable=None, because=because, events=rollout.events + 1)
    record = Record(event=event, rollout=left, evidence=intent.record.evidence, due_at=now)
    await world.store.record(lease, record, closes=intent)
    log.warning("stable.gone", agent=lease.agent, because=because)
    return record
