"""Replicas that share agents over the real store: who joins gets its share, who leaves hands it over."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NOON, a_rollout, an_event
from foundry_rollouts.controller.claims import Claims
from foundry_rollouts.controller.existence import LastReads
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.membership import Membership
from foundry_rollouts.controller.owners import owner_of
from foundry_rollouts.controller.tick_loop import TickLoop
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Lease, Record
from foundry_rollouts.telemetry import Metrics
from small_world import LEASE, TICK, SmallWorld

AGENTS = [f"agent-{number}" for number in range(24)]


@dataclass
class Replica:
    """A replica whose ticks do nothing but be counted; ``busy`` ones never end."""

    world: SmallWorld
    name: str
    store: Any = None
    told: list[str] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    unsaved: dict[str, Any] = field(default_factory=dict)
    last_known: dict[str, Any] = field(default_factory=dict)
    due_at: dict[str, datetime] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    period: timedelta = TICK
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store = self.store or self.world.open_as(self.name)
        us: Any = self
        self.reads = LastReads(timedelta(0))
        self.pool = LeasePool(self.store, self.elapsed)
        loop = TickLoop(us, self.pool, Troubles(), 100, TICK, self.tasks)
        self.claims = Claims(self.pool, loop, Membership(self.store, self.elapsed, LEASE), us)

    @property
    def offline(self) -> Any:
        return self

    def now(self) -> datetime:
        return self.world.time

    def elapsed(self) -> float:
        return (self.world.time - NOON).total_seconds()

    async def tick(self, lease: Lease) -> bool:
        self.told.append(lease.agent)
        if lease.agent in self.busy:
            await asyncio.Event().wait()
        rollout = a_rollout(id=lease.agent, agent=lease.agent)
        await self.store.record(lease, Record(rollout=rollout, due_at=self.now() + TICK))
        return True

    async def sweep(self) -> None:
        await self.claims.claim_all()
        if tasks := [task for task in self.tasks if task.get_name().removeprefix("tick ") not in self.busy]:
            await asyncio.wait(tasks)

    @property
    def held(self) -> set[str]:
        return {agent for agent in AGENTS if self.pool.holds(agent)}

    async def leave(self) -> None:
        self.pool.close()
        await self.claims.membership.leave()
        await self.pool.release_all(self.now())


def owned_by(name: str, *names: str) -> set[str]:
    return {agent for agent in AGENTS if owner_of(agent, names) == name}


def ring_at(*replicas: Replica, agents: Collection[str] = ()) -> None:
    for replica in replicas:
        replica.claims.hear(tuple(agents))


@pytest.fixture
async def first(world: SmallWorld) -> Replica:
    """A replica that has been alone with all agents."""
    store = world.open_as("begin")
    for agent in AGENTS:
        event = an_event(id=agent, agent=agent, rollout=agent)
        await store.create(a_rollout(id=agent, agent=agent), event, None)
    first = Replica(world, "one")
    await first.sweep()
    assert first.held == set(AGENTS)
    assert sorted(first.told) == sorted(AGENTS)
    return first


async def test_who_joins_has_its_share_after_one_heartbeat_of_the_others(first: Replica) -> None:
    second = Replica(first.world, "two")
    await second.sweep()
    assert second.held == set()
    ring_at(first)
    await first.sweep()
    await second.sweep()
    assert (first.held, second.held) == (owned_by("one", "one", "two"), owned_by("two", "one", "two"))
    assert sorted(second.told) == sorted(second.held)
    first.told.clear()
    first.world.time += TICK
    await first.sweep()
    await second.sweep()
    assert sorted(first.told) == sorted(first.held)


async def test_who_leaves_hands_its_share_over_at_once(first: Replica) -> None:
    second = Replica(first.world, "two")
    await second.claims.beat()
    await first.claims.beat()
    await second.sweep()
    await second.leave()
    assert await first.store.claim_due(first.now(), 0) == []
    ring_at(first)
    await first.sweep()
    assert first.held == set(AGENTS)


async def test_three_replicas_are_restarted_one_by_one_and_all_agents_stay_in_hand(first: Replica) -> None:
    replicas = [first, Replica(first.world, "two"), Replica(first.world, "three")]
    for generation in range(3):
        replicas[0] = await succeeded(replicas, f"next-{generation}")
        replicas = [*replicas[1:], replicas[0]]
        assert sorted(agent for each in replicas for agent in each.held) == sorted(AGENTS)
    names = [each.name for each in replicas]
    assert [each.held for each in replicas] == [owned_by(name, *names) for name in names]


async def succeeded(replicas: list[Replica], name: str) -> Replica:
    """Stop the first of ``replicas`` and return its successor, once all have rung and swept."""
    successor = Replica(replicas[0].world, name)
    await replicas[0].leave()
    for _ in range(2):
        ring_at(*replicas[1:], successor)
        for each in (*replicas[1:], successor):
            await each.sweep()
    return successor


async def test_what_is_ticked_or_unsaved_stays_and_goes_later(first: Replica) -> None:
    second = Replica(first.world, "two")
    busy, unsaved, *_ = sorted(owned_by("two", "one", "two"))
    first.busy.add(busy)
    first.unsaved[unsaved] = []
    ring_at(first, agents=[busy])
    await second.claims.beat()
    await first.claims.beat()
    assert first.held == owned_by("one", "one", "two") | {busy, unsaved}
    del first.unsaved[unsaved]
    await first.claims.beat()
    assert unsaved not in first.held
    for task in first.tasks:
        task.cancel()


async def test_a_ring_is_for_who_holds_the_agent_or_owns_it(first: Replica) -> None:
    second = Replica(first.world, "two")
    await second.claims.beat()
    await first.claims.beat()
    (ours, *_), (theirs, *_) = sorted(first.held), sorted(owned_by("two", "one", "two"))
    first.told.clear()
    assert not first.claims.hear([ours, theirs])
    await asyncio.wait(first.tasks)
    assert first.told == [ours]
    assert second.claims.hear([theirs])
    assert not second.claims.hear([ours])


async def test_what_an_owner_leaves_alone_is_taken_and_kept_for_a_while(first: Replica) -> None:
    second = Replica(first.world, "two")
    await second.claims.beat()
    await first.claims.beat()
    left = owned_by("two", "one", "two")
    await first.sweep()
    first.world.time += TICK
    await first.sweep()
    assert first.held & left == set()
    first.world.time += timedelta(seconds=1)
    await first.sweep()
    assert first.held == set(AGENTS)
    await first.claims.beat()
    assert first.held == set(AGENTS)
    first.world.time += LEASE + TICK
    await second.claims.beat()
    await first.claims.beat()
    assert first.held & left == set()


async def test_a_database_that_fails_a_handing_over_keeps_nothing_from_being_ticked(first: Replica) -> None:
    async def fail(*_: Any) -> None:
        raise StoreError("away")

    await Replica(first.world, "two").claims.beat()
    first.store.hand_over_some = fail
    with pytest.raises(StoreError):
        await first.claims.beat()
    del first.store.hand_over_some
    first.told.clear()
    first.world.time += TICK
    await first.sweep()
    assert sorted(first.told) == sorted(AGENTS)


async def test_older_releases_without_heartbeats_keep_what_they_took(first: Replica) -> None:
    older = first.world.open_as("older")
    await first.pool.release_all(first.now())
    taken = {lease.agent for lease in await older.claim_due(first.now(), 10)}
    await first.sweep()
    assert first.held == set(AGENTS) - taken
    await older.hand_over(first.now())
    await first.sweep()
    assert first.held == set(AGENTS)


async def test_who_starts_holds_its_agents_long_before_they_are_due(world: SmallWorld) -> None:
    store, later = world.open_as("begin"), world.time + timedelta(hours=1)
    for agent in AGENTS:
        rollout = a_rollout(id=agent, agent=agent)
        await store.create(rollout, an_event(id=agent, agent=agent, rollout=agent), None)
        lease = await store.claim(agent, world.time)
        assert lease is not None
        await store.record(lease, Record(rollout=rollout, due_at=later))
        await store.release(lease)
    second, third = Replica(world, "two"), Replica(world, "three")
    await third.claims.beat()
    await second.sweep()
    await third.sweep()
    assert (second.held, third.held) == (owned_by("two", "two", "three"), owned_by("three", "two", "three"))
    assert (second.told, third.told) == ([], [])
    world.time = later
    await second.sweep()
    assert sorted(second.told) == sorted(second.held)
