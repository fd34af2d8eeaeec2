"""Two agents of a project, one of which may be in trouble."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

from sqlalchemy import select

from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.governance import Survey
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import AgentKnown, AgentSeen, VersionSeen, VersionStatus
from foundry_rollouts.store.tables import events
from foundry_rollouts.telemetry import Metrics
from small_world import SmallCloud, SmallWorld

FOREIGN = "rule 1 of 2 is of the type 'HeaderMatch', and FixedRatio is the only one known here"


NUMBERS = count()


class TwoAgents(SmallCloud):
    """Lists a sick agent before the one of the small world."""

    sick = "support-a"
    sick_trouble: CloudError | None = None
    sick_unreadable: str | None = None
    is_sick_nameless = False
    is_sick_gone = False

    async def agents(self) -> AsyncIterator[AgentSeen]:
        if self.is_sick_nameless or self.is_sick_gone:
            if self.is_sick_nameless:
                yield AgentSeen("", Routing(()), None, unreadable="item 1 of the list of agents has no name")
            yield await self.agent(self.name)
            return
        sick = AgentSeen(self.sick, Routing.of({LATEST: 100}), VersionSeen("1", VersionStatus.ACTIVE))
        yield replace(sick, routing=Routing(()), unreadable=self.sick_unreadable) if self.sick_unreadable else sick
        yield await self.agent(self.name)

    async def agent(self, name: str) -> AgentSeen:
        if name == self.sick and self.sick_trouble:
            raise self.sick_trouble
        return await super().agent(name)


@dataclass
class Town:
    """A small world with a sick agent in it."""

    world: SmallWorld
    policies: Any
    metrics: Metrics
    troubles: Troubles
    store: Any = None
    survey: Survey = field(default_factory=Survey)
    unreported: set[str] = field(default_factory=set)

    async def discover(self) -> None:
        _, ticker = self.world.ticker()
        store = self.store or self.world.open_as("here")
        world = replace(ticker.world, policies=self.policies, store=store)
        pool = LeasePool(world.store, lambda: 0.0)
        discovery = Discovery(
            world, self.metrics, pool, self.world.now, lambda _: f"new-{next(NUMBERS)}", troubles=self.troubles
        )
        discovery.unreported.update(self.unreported)
        self.unreported = discovery.unreported
        self.world.time += timedelta(seconds=1)
        self.survey = await discovery.discover()
        await pool.release_all(self.world.time)

    async def known(self, name: str) -> AgentKnown:
        known = await self.world.open_as("reader").agent(name)
        assert known is not None
        return known

    async def told(self, name: str) -> list[tuple[str, str]]:
        reader: Any = self.world.open_as("reader")
        async with reader._database.reading() as connection:
            rows = await connection.execute(select(events).where(events.c.agent == name).order_by(events.c.seq))
            return [(row.kind, row.because) for row in rows]

    @property
    def unreadable(self) -> float | None:
        return self.metrics.registry.get_sample_value("foundry_rollouts_agents_unreadable")


async def ticked(world: SmallWorld, times: int = 1) -> Rollout:
    return await world.run(times)
