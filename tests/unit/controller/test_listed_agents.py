"""When a tick takes its agent as a listing showed it, and when it reads the agent by itself."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from foundry_rollouts.controller.existence import LASTS
from foundry_rollouts.controller.record import record_of_agent
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.event import of_agent
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import AgentSeen, Store
from small_world import TICK, SmallCloud, SmallWorld


@dataclass
class CountingCloud(SmallCloud):
    """Counts the reads of the agent."""

    reads: int = 0

    async def agent(self, name: str) -> AgentSeen:
        self.reads += 1
        return await super().agent(name)


@dataclass
class Trial:
    """A rollout that one and the same replica ticks and lists."""

    world: SmallWorld
    cloud: CountingCloud
    store: Store
    ticker: Ticker

    async def tick(self, *, calls: int = 0) -> Rollout:
        """Tick once, one interval later."""
        self.world.source.calls = calls
        self.world.time += TICK
        for lease in await self.store.claim_due(self.world.time, 10):
            await self.ticker.tick(lease)
            await self.store.release(lease)
        return await self.store.rollout(self.world.id)

    async def list(self, age: timedelta = timedelta(seconds=1)) -> None:
        """List the agents, so long before the next tick."""
        reads = self.cloud.reads
        seen = await self.cloud.agent(self.cloud.name)
        self.cloud.reads = reads
        self.take(seen, age)

    def take(self, seen: AgentSeen, age: timedelta = timedelta(seconds=1)) -> None:
        """Take what a listing shows that was asked for so long before the next tick."""
        self.ticker.reads.listings.take("", self.world.time + TICK - age, {seen.name: seen})

    def reads(self) -> int:
        """Return how often the agent was read since this was asked last."""
        reads, self.cloud.reads = self.cloud.reads, 0
        return reads


@pytest.fixture
async def trial(world: SmallWorld) -> Trial:
    """Return a trial whose canary has its first weight, and whose agent was read since."""
    cloud = world.cloud = world.source.cloud = CountingCloud(name=world.cloud.name)
    await world.begin()
    trial = Trial(world, cloud, *world.ticker())
    for _ in range(3):
        assert (await trial.tick()).phase is not Phase.PAUSED
    trial.reads()
    return trial


async def test_an_agent_that_is_listed_as_it_was_read_is_read_every_third_time(trial: Trial) -> None:
    for _ in range(10 * LASTS):
        await trial.list()
        await trial.tick()
    assert trial.reads() == 10


async def test_without_a_listing_each_tick_reads(trial: Trial) -> None:
    await trial.tick()
    await trial.tick()
    assert trial.reads() == 2


async def test_a_listing_serves_for_one_interval(trial: Trial) -> None:
    await trial.list(TICK - timedelta(seconds=1))
    await trial.tick()
    assert trial.reads() == 0
    await trial.tick()
    assert trial.reads() == 1


async def test_an_agent_that_the_latest_listing_lacks_is_read(trial: Trial) -> None:
    await trial.list()
    trial.ticker.reads.listings.take("", trial.world.time + TICK, {})
    await trial.tick()
    assert trial.reads() == 1


async def test_a_listing_from_before_the_last_read_counts_for_nothing(trial: Trial) -> None:
    await trial.list(TICK)
    await trial.tick()
    assert trial.reads() == 1


async def test_an_agent_is_read_before_a_step_and_after_it(trial: Trial) -> None:
    step = (await trial.store.rollout(trial.world.id)).step
    await trial.list()
    assert (await trial.tick(calls=100_000)).step > step
    assert trial.reads() == 2  # Once before the change, once to see that it holds.
    await trial.list()
    await trial.tick()
    assert trial.reads() == 1


async def test_a_listing_from_before_our_own_change_is_not_taken_for_drift(trial: Trial) -> None:
    before = await trial.cloud.agent(trial.cloud.name)
    step = (await trial.tick(calls=100_000)).step
    trial.reads()
    trial.take(before)
    rollout = await trial.tick()
    assert (rollout.step, rollout.phase) == (step, Phase.PROGRESSING)
    assert trial.reads() == 1


async def test_drift_in_a_listing_is_believed_after_an_own_read(trial: Trial) -> None:
    seen = await trial.cloud.agent(trial.cloud.name)
    trial.take(replace(seen, routing=Routing.of({"1": 50, "2": 50})))
    assert (await trial.tick()).phase is Phase.PROGRESSING
    trial.cloud.routing = Routing.of({"1": 50, "2": 50})
    await trial.list()
    assert (await trial.tick()).phase is Phase.PAUSED


async def test_a_disabled_or_unreadable_agent_in_a_listing_is_believed_after_an_own_read(trial: Trial) -> None:
    seen = await trial.cloud.agent(trial.cloud.name)
    closed = replace(seen, routing=replace(seen.routing, is_open=False))
    for listed in (closed, replace(seen, unreadable="a rule of a new kind")):
        trial.reads()
        trial.take(listed)
        assert (await trial.tick()).phase is Phase.PROGRESSING
        assert trial.reads() == 1


async def test_drift_that_a_listing_hides_is_met_before_a_step(trial: Trial) -> None:
    step = (await trial.store.rollout(trial.world.id)).step
    await trial.list()
    trial.cloud.routing = Routing.of({"1": 50, "2": 50})
    rollout = await trial.tick(calls=100_000)
    assert (rollout.step, rollout.phase) == (step, Phase.PAUSED)
    assert trial.cloud.routing == Routing.of({"1": 50, "2": 50})


async def test_a_listing_from_before_a_new_creation_leads_to_no_step(trial: Trial) -> None:
    trial.cloud.marks = Marks(guid="old")
    for lease in await trial.store.claim_due(trial.world.time + TICK, 10):
        event = of_agent(lease.agent, "agent.pinned", "it is known by its marks", trial.world.time, "marks")
        await trial.store.record(lease, record_of_agent(event, marks=trial.cloud.marks))
        await trial.store.release(lease)
    await trial.tick()
    await trial.list()
    sent = list(trial.cloud.sent)
    trial.cloud.marks = Marks(guid="new")
    rollout = await trial.tick(calls=100_000)
    assert trial.cloud.sent == sent
    assert rollout.phase.is_final
    assert "deleted and made again" in rollout.because


async def test_harm_leads_back_whatever_was_listed(trial: Trial) -> None:
    trial.world.source.bad_from = 1
    await trial.list()
    rollout = await trial.tick(calls=1000)
    for _ in range(2):
        await trial.list()
        rollout = await trial.tick(calls=1000)
    assert rollout.phase is Phase.ROLLED_BACK
