"""A clock that jumps by an hour, back or forth, takes no step by itself and keeps no canary from going back."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from small_world import TICK, SmallWorld

HOUR = timedelta(hours=1)
#: A clock that was set back is back where it was after so many sweeps of so many minutes, not of seconds.
MINUTES = timedelta(minutes=5)
STALL_TIMEOUT = 3 * TICK


@dataclass
class Watch:
    """One replica over a small world: what is due or neglected is ticked, as the sweep does."""

    world: SmallWorld
    ticker: Ticker
    pool: LeasePool
    seconds: list[float] = field(default_factory=lambda: [0.0])

    async def passes(self, span: timedelta, stride: timedelta = TICK) -> Rollout:
        """Let time pass, on both clocks, and sweep after each stride of it."""
        for _ in range(round(span / stride)):
            self.world.time += stride
            self.seconds[0] += stride.total_seconds()
            await self.pool.renew(self.world.time)
            due = await self.pool.claim_due(self.world.time, 10)
            leases = [lease for each in due if (lease := self.pool.use(each.agent, self.world.time))]
            for agent in self.pool.stalled(STALL_TIMEOUT):
                leases += [lease for lease in [await self.pool.acquire(agent, self.world.time)] if lease]
            for lease in leases:
                await self.pool.release(lease, keep=await self.ticker.tick(lease))
        return await self.world.open_as("reader").rollout(self.world.id)


@pytest.fixture
async def watch(world: SmallWorld) -> Watch:
    await world.begin()
    store, ticker = world.ticker()
    seconds = [0.0]
    return Watch(world, ticker, LeasePool(store, lambda: seconds[0]), seconds)


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forth", "back"])
async def test_a_canary_that_fails_after_the_jump_is_taken_back_within_the_time_of_neglect(
    watch: Watch, jump: timedelta
) -> None:
    assert (await watch.passes(TICK)).step == 1
    watch.world.time += jump
    watch.world.source.bad_from = 1
    rollout = await watch.passes(STALL_TIMEOUT + 2 * TICK)
    assert rollout.phase is Phase.ROLLED_BACK
    assert watch.world.cloud.routing == Routing.of({"1": 100})


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forth", "back"])
async def test_a_good_canary_takes_each_step_once_and_none_without_proof(watch: Watch, jump: timedelta) -> None:
    await watch.passes(TICK)
    watch.world.source.calls = 0
    watch.world.time += jump
    assert (await watch.passes(6 * TICK)).step == 1
    watch.world.source.calls = 30
    await watch.passes(HOUR, stride=MINUTES)
    rollout = await watch.passes(20 * TICK)
    assert rollout.phase is Phase.PROMOTED
    moves = [kind for kind, *_ in await watch.world.history() if kind != "rollout.held"]
    assert moves == [f"rollout.{move}" for move in ("created", "started", "advanced", "advanced", "promoted")]
    assert [routing.weight("2") for routing in watch.world.cloud.sent] == [10, 50, 100]


async def test_a_clock_that_leaps_beyond_the_lease_sends_nothing_under_it(watch: Watch) -> None:
    await watch.passes(TICK)
    (lease,) = watch.pool.valid(watch.world.time)
    watch.world.source.bad_from = 1
    real = watch.ticker.world.cloud

    class Leaping:
        """A cloud during whose answer the clock is set forth."""

        def __getattr__(self, name: str) -> Any:
            watch.world.time += HOUR if name == "agent" else timedelta(0)
            return getattr(real, name)

    cloud: Any = Leaping()
    sent = list(watch.world.cloud.sent)
    leaping = replace(watch.ticker, world=replace(watch.ticker.world, cloud=cloud))
    with pytest.raises(Exception, match="ran out before the change was sent"):
        await leaping.tick(lease)
    assert watch.world.cloud.sent == sent
