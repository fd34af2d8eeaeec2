"""How a replica stops, and what rings while a sweep is under way."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from builders import a_rollout
from fakes import FakePolicies
from foundry_rollouts import clock
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.health import JobHealth
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.scheduler import MAX_CONCURRENT, Intervals, Scheduler
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Lease, World
from foundry_rollouts.telemetry import Metrics
from patience import PATIENCE
from small_world import SmallSource, SmallWorld

LONG = timedelta(hours=1)


@dataclass
class Watched:
    """Hands every call on; ``before`` is awaited first where it names the call."""

    inner: Any
    before: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if name in self.before:
                await self.before[name]()
            return await getattr(self.inner, name)(*args, **kwargs)

        return call


def a_replica(world: SmallWorld, store: Any, brakes: Any = None) -> Scheduler:
    """Return a replica in a world whose time goes on by itself; nothing but the first sweep comes by itself."""
    policies: Any = FakePolicies(())
    sources = (world.source,)
    parts = World(world.cloud, world.cloud, store, policies, sources, brakes=brakes)  # type: ignore[arg-type]
    metrics = Metrics("test")
    ticker = Ticker(parts, metrics, clock.now, timedelta(seconds=30), OfflineGuard(parts, metrics, clock.now))
    discovery = Discovery(parts, metrics, LeasePool(store, clock.elapsed), clock.now, lambda _: "none")
    intervals = Intervals(sweep=LONG, discovery=LONG, renewal=LONG, brakes=LONG)
    return Scheduler(ticker, discovery, JobHealth(), intervals, clock.now)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - nobody rings a bell here
            await asyncio.sleep(0.005)


@pytest.fixture
async def begun(world: SmallWorld) -> SmallWorld:
    """A world at the present time, with a rollout that is due."""
    world.time = clock.now()
    await world.begin()
    return world


async def test_a_replica_that_stops_leaves_its_agents_free_and_due_at_once(begun: SmallWorld) -> None:
    store = Watched(begun.open_as("first"))
    scheduler = a_replica(begun, store)
    scheduler.start()
    await until(lambda: begun.cloud.routing.weight("2") == 10 and not scheduler._tasks)
    assert await begun.open_as("next").claim_due(clock.now(), 10) == []
    await scheduler.stop()
    (lease,) = await begun.open_as("next").claim_due(clock.now(), 10)
    assert lease.agent == begun.cloud.name
    assert store.calls.count("hand_over") == 2


async def test_a_tick_that_hangs_is_cut_off_and_its_agent_is_free_at_once(begun: SmallWorld) -> None:
    hangs = asyncio.Event()

    class Hanging(SmallSource):
        async def measure(self, *_: Any) -> Any:
            hangs.set()
            await asyncio.Event().wait()

    begun.source = Hanging(begun.cloud)
    scheduler = a_replica(begun, begun.open_as("first"))
    scheduler.start()
    await until(lambda: begun.cloud.routing.weight("2") == 10 and not scheduler._tasks)
    scheduler.wake_sweep()
    await asyncio.wait_for(hangs.wait(), PATIENCE)
    began = asyncio.get_running_loop().time()
    await scheduler.stop()
    took = asyncio.get_running_loop().time() - began
    assert await begun.open_as("next").claim(begun.cloud.name, clock.now()) is not None
    assert took < 60  # a tick may take ninety seconds
    assert not scheduler._tasks


async def test_leases_are_given_back_by_a_later_try_when_the_database_fails_the_first(begun: SmallWorld) -> None:
    failures = [StoreError("away"), StoreError("away")]

    async def fail() -> None:
        if failures:
            raise failures.pop()

    scheduler = a_replica(begun, Watched(begun.open_as("first"), {"hand_over": fail}))
    scheduler.start()
    await until(lambda: begun.cloud.routing.weight("2") == 10 and not scheduler._tasks)
    await scheduler.stop()
    assert failures == []
    assert await begun.open_as("next").claim(begun.cloud.name, clock.now()) is not None


async def test_a_lease_that_is_granted_while_the_replica_stops_is_given_back_too(begun: SmallWorld) -> None:
    asked, granted = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        asked.set()
        await granted.wait()

    scheduler = a_replica(begun, Watched(begun.open_as("first"), {"claim_due": slowly}))
    scheduler.start()
    await asyncio.wait_for(asked.wait(), PATIENCE)
    stopping = asyncio.create_task(scheduler.stop())
    await asyncio.sleep(0)
    granted.set()
    await stopping
    assert begun.cloud.sent == []
    assert await begun.open_as("next").claim(begun.cloud.name, clock.now()) is not None


async def test_what_rings_while_a_sweep_is_under_way_is_swept_again(begun: SmallWorld) -> None:
    store = Watched(begun.open_as("first"))
    scheduler = a_replica(begun, store)
    rung: list[int] = []

    async def ring() -> None:
        if not rung:
            rung.append(1)
            scheduler.wake_sweep()

    store.before["counts"] = ring  # the last thing a sweep does, long after it looked for what is due
    scheduler.start()
    await until(lambda: store.calls.count("claim_due") >= 3)  # the first, what discovery rang, and this one
    await scheduler.stop()


async def test_what_was_done_without_a_database_is_recorded_before_a_replica_goes(begun: SmallWorld) -> None:
    is_away = [True] * 3

    async def fail() -> None:
        if is_away:
            is_away.pop()
            raise StoreError("away")

    store = Watched(begun.open_as("first"))
    scheduler = a_replica(begun, store)
    scheduler.start()
    await until(lambda: begun.cloud.routing.weight("2") == 10 and not scheduler._tasks)
    begun.source.bad_from = 1
    store.before = {"record": fail, "hand_over": fail}
    (lease,) = scheduler._pool.valid(clock.now())
    await scheduler._ticker.offline.check_offline(lease)
    assert scheduler._ticker.offline.unsaved
    await scheduler.stop()
    assert (await begun.open_as("reader").rollout(begun.id)).phase is Phase.ROLLED_BACK
    assert await begun.open_as("next").claim(begun.cloud.name, clock.now()) is not None


async def test_without_a_database_agents_are_looked_at_together_and_so_many_at_once(world: SmallWorld) -> None:
    present: list[str] = []
    looked_at: set[str] = set()
    is_full, most = asyncio.Event(), 0

    class Slow(SmallSource):
        async def measure(self, rollout: Rollout, *_: Any) -> Any:
            nonlocal most
            present.append(rollout.agent)
            most = max(most, len(present))
            if most == MAX_CONCURRENT:
                is_full.set()
            await is_full.wait()
            present.remove(rollout.agent)
            looked_at.add(rollout.agent)
            if rollout.agent == "agent-1":
                raise ValueError("a fault of one agent")
            return ()

    async def fail() -> None:
        raise StoreError("away")

    world.source = Slow(world.cloud)
    scheduler = a_replica(world, Watched(world.open_as("first"), {"claim_due": fail}))
    agents = {f"agent-{number}" for number in range(MAX_CONCURRENT + 8)}
    for agent in sorted(agents):
        scheduler._pool._held[agent] = Lease(agent, "first", 1, clock.now() + LONG)
        rollout = a_rollout(id=agent, agent=agent, policy=world.policy, phase=Phase.PROGRESSING, step=1)
        scheduler._ticker.offline.remember(rollout, initial(rollout.policy, ()))
    with pytest.raises(StoreError):
        await asyncio.wait_for(scheduler._sweep_once(), PATIENCE)
    assert looked_at == agents
    assert most == MAX_CONCURRENT


async def test_the_metrics_say_whether_the_database_answered_at_the_last_sweep(world: SmallWorld) -> None:
    async def fail() -> None:
        raise StoreError("away")

    store = Watched(world.open_as("first"))
    scheduler = a_replica(world, store)
    shown = scheduler._metrics.registry.get_sample_value
    for is_away in (False, True, False):
        store.before = {"claim_due": fail} if is_away else {}
        with pytest.raises(StoreError) if is_away else nullcontext():
            await scheduler._sweep_once()
        assert shown("foundry_rollouts_database_up") == (not is_away)
    await scheduler._pool.release_all(clock.now())
