"""Check between rollouts whether stable versions are still there: routing may name nothing but one that was deleted.

Nothing of such an agent seems new, so that each listing asks for some of them, the longest unasked first. What weights
that are not as recorded lead to is the pin guard's matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from foundry_rollouts.controller.existence import is_gone
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.record import record_of_agent
from foundry_rollouts.core.deciding.loss import SURE_AFTER
from foundry_rollouts.core.model.event import of_agent
from foundry_rollouts.errors import CloudError, LeaseLostError
from foundry_rollouts.pacing import gently
from foundry_rollouts.ports import AgentKnown, AgentSeen, VersionStatus, World

log = structlog.get_logger()

#: How many stable versions are asked for after one listing, beside those that one read did not find.
AT_A_LISTING = 20

Agents = Iterable[tuple[AgentSeen, AgentKnown]]


@dataclass(slots=True)
class Presence:
    """What this replica knows of stable versions that are no agent's latest."""

    asked_at: dict[str, datetime] = field(default_factory=dict)
    missing: dict[tuple[str, str], datetime] = field(default_factory=dict)  #: Agent and version, since the first read.
    reported: set[tuple[str, str]] = field(default_factory=set)

    async def check(self, world: World, pool: LeasePool, agents: Agents, now: datetime) -> None:
        """Ask for the stable versions of some of ``agents``, and report each that two reads did not find.

        They are those that ``may_have_lost_its_stable`` is true of.
        """
        wanted: dict[str, tuple[AgentSeen, str]] = {}
        async for seen, known in gently(agents):
            if known.stable:
                wanted[seen.name] = seen, known.stable
        self._forget({(name, stable) for name, (_, stable) in wanted.items()})
        waiting = sorted(wanted, key=lambda name: (self.asked_at.get(name) is not None, self.asked_at.get(name, now)))
        doubtful = [name for name, (_, stable) in wanted.items() if (name, stable) in self.missing]
        for name in dict.fromkeys([*doubtful, *waiting[:AT_A_LISTING]]):
            seen, stable = wanted[name]
            if (name, stable) in self.reported:
                continue
            self.asked_at[name] = now
            if await self._is_gone_for_sure(world, name, stable, now) and await _report(pool, seen, stable, now):
                self.reported.add((name, stable))

    async def _is_gone_for_sure(self, world: World, agent: str, stable: str, now: datetime) -> bool:
        try:
            is_missing = await is_gone(world, agent, stable)
        except CloudError as error:
            log.warning("stable.unasked", agent=agent, version=stable, because=str(error))
            return False
        if not is_missing:
            self.missing.pop((agent, stable), None)
            return False
        return now - self.missing.setdefault((agent, stable), now) >= SURE_AFTER

    def _forget(self, wanted: set[tuple[str, str]]) -> None:
        names = {name for name, _ in wanted}
        self.asked_at = {name: at for name, at in self.asked_at.items() if name in names}
        self.missing = {which: at for which, at in self.missing.items() if which in wanted}
        self.reported &= wanted


def may_have_lost_its_stable(agent: AgentSeen, known: AgentKnown) -> bool:
    """Whether the weights are as recorded, and the listing does not show the stable version itself, as the latest."""
    latest = agent.latest
    is_shown = latest is not None and latest.version == known.stable and latest.status is VersionStatus.ACTIVE
    return known.stable is not None and not is_shown and known.is_as_recorded(agent.routing)


async def _report(pool: LeasePool, agent: AgentSeen, stable: str, now: datetime) -> bool:
    """Write down that the stable version is gone; return whether this replica could do so."""
    weight = agent.routing.weight(stable)
    because = (
        f"stable version {stable} of agent {agent.name} was deleted, and the endpoint sends {weight}% of new sessions"
        f" to it: they get no answer until a person routes to another version (`agent route {agent.name}`)"
    )
    event = of_agent(agent.name, "agent.stable_gone", because, now, because).showing(agent.routing)
    try:
        is_written = await pool.record(agent.name, record_of_agent(event), now)
    except LeaseLostError:
        return False
    if is_written:
        log.warning(event.kind, agent=agent.name, because=because)
    return is_written
