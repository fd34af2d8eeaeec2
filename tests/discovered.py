"""A small world that is discovered, for what happens between rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select

from fakes import FakePolicies
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.presence import Presence
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.operations.start import Start, start
from foundry_rollouts.ports import AgentKnown, Policies, RolloutFilter
from foundry_rollouts.store.tables import events
from foundry_rollouts.telemetry import Metrics
from small_world import TICK, SmallWorld


@dataclass
class Discovered:
    """One agent that follows the latest version until it is discovered under ``policy``."""

    world: SmallWorld
    policy: Policy
    made: int = 0
    policies: Policies | None = None  #: Others than ``policy`` alone.
    presence: Presence = field(default_factory=Presence)

    def __post_init__(self) -> None:
        self.world.cloud.latest = "1"
        self.world.cloud.routing = Routing.of({LATEST: 100})

    @property
    def agent(self) -> str:
        return self.world.cloud.name

    async def discover(self, latest: str | None = None) -> None:
        """Let discovery look once, at a newer latest version where one is named."""
        self.world.cloud.latest = latest or self.world.cloud.latest
        _, ticker = self.world.ticker()
        world = replace(ticker.world, policies=self.policies or FakePolicies((self.policy,)))
        pool = LeasePool(world.store, lambda: 0.0)
        self.world.time += TICK
        clock, new_id = self.world.now, self.new_id
        await Discovery(world, Metrics("test"), pool, clock, new_id, presence=self.presence).discover()
        await pool.release_all(self.world.time)

    async def tick(self, times: int = 1) -> None:
        """Tick the agent, if it is due."""
        store, ticker = self.world.ticker()
        for _ in range(times):
            self.world.time += TICK
            for lease in await store.claim_due(self.world.time, 10):
                await ticker.tick(lease)
                await store.release(lease)

    async def start(self, version: str, author: str = "pipeline") -> Rollout:
        """Let a person or a pipeline ask for a rollout."""
        self.made += 1
        wanted = Start(f"asked-{self.made}", self.agent, version, author)
        store = self.world.open_as("api")
        return await start(store, FakePolicies((self.policy,)), wanted, self.world.time)

    def new_id(self, _: datetime) -> str:
        self.made += 1
        return f"new-{self.made}"

    async def rollouts(self) -> list[tuple[str, Phase]]:
        """Return every rollout, the oldest first, as version and phase."""
        found: Sequence[Rollout] = await self.world.open_as("reader").rollouts(RolloutFilter())
        return [(rollout.canary, rollout.phase) for rollout in reversed(found)]

    async def known(self) -> AgentKnown:
        found = await self.world.open_as("reader").agent(self.agent)
        assert found is not None
        return found

    async def told(self, kind: str) -> list[str]:
        """Return what the events of that kind say, the oldest first."""
        query = select(events.c.because).where(events.c.kind == kind).order_by(events.c.seq)
        async with self.world.open_as("reader")._database.reading() as connection:  # type: ignore[attr-defined]
            return list(await connection.scalars(query))
