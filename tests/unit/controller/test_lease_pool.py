"""What a replica has in hand: kept, used, lost, neglected."""

from datetime import timedelta

from foundry_rollouts.controller.lease_pool import LeasePool
from small_world import LEASE, SmallWorld


async def test_a_lease_in_use_is_not_taken_twice_and_a_kept_one_is_nobody_elses(world: SmallWorld) -> None:
    await world.begin()
    pool = LeasePool(world.open_as("one"), lambda: 0.0)
    (lease,) = await pool.acquire_due(world.time, 10)
    assert await pool.acquire(lease.agent, world.time) is None
    assert await pool.acquire_due(world.time, 10) == []
    await pool.release(lease, keep=True)
    assert await world.open_as("other").claim(lease.agent, world.time) is None
    assert await pool.acquire(lease.agent, world.time) is not None


async def test_a_lease_that_is_given_back_is_free_at_once(world: SmallWorld) -> None:
    await world.begin()
    pool = LeasePool(world.open_as("one"), lambda: 0.0)
    (lease,) = await pool.acquire_due(world.time, 10)
    await pool.release(lease, keep=True)
    await pool.release_all(world.time)
    assert len(pool) == 0
    assert await world.open_as("other").claim(lease.agent, world.time) is not None


async def test_a_lease_that_another_replica_took_is_told_as_lost(world: SmallWorld) -> None:
    await world.begin()
    pool = LeasePool(world.open_as("one"), lambda: 0.0)
    (lease,) = await pool.acquire_due(world.time, 10)
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
    (lease,) = await pool.acquire_due(world.time, 10)
    assert pool.stalled(timedelta(seconds=30)) == []
    await pool.release(lease, keep=True)
    seconds[0] = 29.0
    assert pool.stalled(timedelta(seconds=30)) == []
    seconds[0] = 31.0
    assert pool.stalled(timedelta(seconds=30)) == [lease.agent]
