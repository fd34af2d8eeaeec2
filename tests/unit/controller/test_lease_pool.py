"""What a replica has in hand: kept, used, lost, neglected."""

from datetime import timedelta
from typing import Any

import pytest

from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Lease
from small_world import LEASE, SmallWorld


async def a_used_one(pool: LeasePool, world: SmallWorld) -> Lease:
    """Claim what is due, and use it."""
    (held,) = await pool.claim_due(world.time, 10)
    lease = pool.use(held.agent, world.time)
    assert lease == held
    return held


async def test_a_lease_in_use_is_not_taken_twice_and_a_kept_one_is_nobody_elses(world: SmallWorld) -> None:
    await world.begin()
    pool = LeasePool(world.open_as("one"), lambda: 0.0)
    lease = await a_used_one(pool, world)
    assert pool.use(lease.agent, world.time) is None
    assert await pool.acquire(lease.agent, world.time) is None
    assert await pool.claim_due(world.time, 10) == []
    await pool.release(lease, keep=True)
    assert await world.open_as("other").claim(lease.agent, world.time) is None
    assert await pool.acquire(lease.agent, world.time) is not None


async def test_a_lease_that_is_given_back_is_free_at_once(world: SmallWorld) -> None:
    await world.begin()
    pool = LeasePool(world.open_as("one"), lambda: 0.0)
    lease = await a_used_one(pool, world)
    await pool.release(lease, keep=True)
    await pool.release_all(world.time)
    assert len(pool) == 0
    assert await world.open_as("other").claim(lease.agent, world.time) is not None


async def test_a_lease_that_another_replica_took_is_told_as_lost(world: SmallWorld) -> None:
    await world.begin()
    pool = LeasePool(world.open_as("one"), lambda: 0.0)
    lease = await a_used_one(pool, world)
    await pool.release(lease, keep=True)
    assert await pool.renew(world.time) == []
    later = world.time + 2 * LEASE
    assert await world.open_as("other").claim(lease.agent, later) is not None
    assert await pool.renew(later) == [lease.agent]
    assert len(pool) == 0


async def test_a_rollout_whose_due_time_went_away_with_the_clock_is_neglected_after_a_while(world: SmallWorld) -> None:
    await world.begin()
    seconds = [0.0]
    pool = LeasePool(world.open_as("one"), lambda: seconds[0])
    lease = await a_used_one(pool, world)
    assert pool.stalled(timedelta(seconds=30)) == []
    await pool.release(lease, keep=True)
    seconds[0] = 29.0
    assert pool.stalled(timedelta(seconds=30)) == []
    seconds[0] = 31.0
    assert pool.stalled(timedelta(seconds=30)) == [lease.agent]


async def test_a_lease_is_used_as_it_is_held_until_it_runs_out_or_is_in_doubt(world: SmallWorld) -> None:
    await world.begin()
    pool = LeasePool(world.open_as("one"), lambda: 0.0)
    lease = await a_used_one(pool, world)
    await pool.release(lease, keep=True)
    assert pool.use(lease.agent, lease.until) is None
    assert pool.use(lease.agent, world.time) is lease
    pool.doubt(lease.agent)
    await pool.release(lease, keep=True)
    assert pool.use(lease.agent, world.time) is None
    anew = await pool.acquire(lease.agent, world.time)
    assert anew is not None
    assert anew.fence > lease.fence
    await pool.release(anew, keep=True)
    assert pool.use(lease.agent, world.time) is anew


async def test_what_is_handed_over_is_free_and_what_is_in_use_stays(world: SmallWorld) -> None:
    await world.begin()
    pool, other = LeasePool(world.open_as("one"), lambda: 0.0), world.open_as("other")
    lease = await a_used_one(pool, world)
    assert await pool.hand_over([lease.agent], world.time) == []
    assert await other.claim(lease.agent, world.time) is None
    await pool.release(lease, keep=True)
    assert await pool.hand_over([lease.agent], world.time) == [lease.agent]
    assert not pool.holds(lease.agent)
    assert await other.claim(lease.agent, world.time) is not None


async def test_where_a_handing_over_fails_the_lease_is_granted_anew_before_it_is_used(world: SmallWorld) -> None:
    await world.begin()
    store: Any = world.open_as("one")
    pool = LeasePool(store, lambda: 0.0)
    lease = await a_used_one(pool, world)
    await pool.release(lease, keep=True)

    async def fail(*_: object) -> None:
        raise StoreError("away")

    real, store.hand_over_some = store.hand_over_some, fail
    with pytest.raises(StoreError):
        await pool.hand_over([lease.agent], world.time)
    store.hand_over_some = real
    assert pool.holds(lease.agent)
    assert pool.use(lease.agent, world.time) is None
    assert await pool.acquire(lease.agent, world.time) is not None
