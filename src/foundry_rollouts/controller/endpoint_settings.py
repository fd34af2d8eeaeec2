"""What an endpoint has beside its weights outlives every change of ours: what was lost is put back, and reported."""

from datetime import datetime

import structlog

from foundry_rollouts.controller.record import record_of_agent
from foundry_rollouts.core.model.event import of_agent
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import AgentSeen, Cloud, Lease, World

log = structlog.get_logger()

RESTORED = "agent.settings_restored"


async def keep_settings(cloud: Cloud, seen: AgentSeen, target: Routing, before: str | None) -> str | None:
    """Put back what the endpoint lost by a change of its weights to ``target``; return what to report of it.

    A failure to do so is reported, too: it must not keep the change from being recorded.
    """
    if not before or seen.settings == before:
        return None
    try:
        lost, still = await cloud.put_back(seen.name, target, before, seen.settings)
    except CloudError as error:
        return f"a change of the weights changed the endpoint's settings too; they could not be put back: {error}"
    if still:
        return f"a change of the weights lost {_named(lost)} of the endpoint; put {_named(still)} back by hand"
    return f"a change of the weights lost {_named(lost)} of the endpoint: put back as before" if lost else None


async def tell_kept(world: World, lease: Lease, change: str, report: str | None, now: datetime) -> None:
    """Write down, once for each change, what was lost by it."""
    if report is None:
        return
    log.warning(RESTORED, agent=lease.agent, because=report)
    await world.store.record(lease, record_of_agent(of_agent(lease.agent, RESTORED, report, now, change)))


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names)
