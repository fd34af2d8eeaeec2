"""Settle an intent that an earlier process, or an earlier try, left open.

The routing now seen tells how far it came: where it was sent to, it is recorded; where it was not, a retreat is sent
again, and a step forward is forgotten, for it has to be decided anew on fresh evidence.
"""

import structlog

from foundry_rollouts.controller.act import bring_about, confirm
from foundry_rollouts.ports import Intent, Lease, World

log = structlog.get_logger()


async def recover(world: World, lease: Lease) -> Intent | None:
    """Settle the open intent of an agent; return it when there was one."""
    intent = await world.store.intent(lease.agent)
    if intent is None:
        return None
    seen = (await world.cloud.agent(lease.agent)).routing
    if seen != intent.target and intent.is_retreat:
        await bring_about(world.cloud, lease.agent, seen, intent.target)
        await confirm(world.cloud, lease.agent, intent.target)
        seen = intent.target
    if seen == intent.target:
        await world.store.record(lease, intent.record, closes=intent)
        log.info("intent.completed", agent=lease.agent, intent=intent.id, routing=str(seen))
    else:
        await world.store.drop_intent(lease, intent)
        log.info("intent.dropped", agent=lease.agent, intent=intent.id, routing=str(seen))
    return intent
