"""A database that is away, and a lease that ran out: harm is answered under a lease that holds, and nothing more."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import LeaseLostError, StoreError
from small_world import LEASE, TICK, CallersSource, KilledError, SmallWorld, a_callers_policy
from unit.controller.asking import kinds


class Away:
    """A store whose database is away."""

    def __init__(self, real: Any) -> None:
        self.real, self.is_away = real, False

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_away:
                raise StoreError("database away")
            return await getattr(self.real, name)(*args, **kwargs)

        return call


async def test_a_failing_canary_is_taken_back_while_the_database_is_away_and_recorded_later(world: SmallWorld) -> None:
    await world.begin()
    store: Any = Away(world.open_as("replica-1"))
    _, ticker = world.ticker()
    ticker = replace(ticker, world=replace(ticker.world, store=store))
    ticker.offline.world = ticker.world
    world.time += TICK
    (lease,) = await store.claim_due(world.time, 10)
    await ticker.tick(lease)
    assert world.cloud.routing.weight("2") == 10

    store.is_away, world.source.bad_from = True, 1
    with pytest.raises(StoreError):
        await ticker.tick(lease)
    for _ in range(2):
        world.time += TICK / 2
        await ticker.offline.check_offline(lease)
    assert world.cloud.routing == Routing.of({"1": 100})

    with pytest.raises(StoreError):
        await ticker.offline.flush()
    store.is_away = False
    world.time += LEASE
    await ticker.offline.flush()
    assert (await store.rollout(world.id)).phase is Phase.ROLLED_BACK
    assert await kinds(world) == ["created", "started", "rolled_back"]


async def test_a_canary_that_stepped_back_without_a_database_is_watched_there_and_both_are_recorded(
    world: SmallWorld,
) -> None:
    world.policy, world.source = a_callers_policy(), CallersSource(world.cloud, bad_from=100)
    await world.begin()
    store: Any = Away(world.open_as("replica-1"))
    _, ticker = world.ticker()
    ticker = replace(ticker, world=replace(ticker.world, store=store))
    ticker.offline.world = ticker.world
    while world.cloud.routing.weight("2") < 100:
        world.time += TICK
        (lease,) = await store.claim_due(world.time, 10)
        await ticker.tick(lease)
        await store.release(lease)
    (lease,) = [await store.claim(world.cloud.name, world.time)]

    store.is_away = True
    weights = []
    while world.cloud.routing.weight("2"):
        world.time += timedelta(seconds=1)
        await ticker.offline.check_offline(lease)
        weights.append(world.cloud.routing.weight("2"))
    assert sorted(set(weights)) == [0, 50]

    store.is_away = False
    await asyncio.gather(ticker.offline.flush(), ticker.offline.flush())
    assert (await store.rollout(world.id)).phase is Phase.ROLLED_BACK
    assert (await kinds(world))[-2:] == ["stepped_back", "rolled_back"]


async def test_nobody_acts_on_a_lease_that_ran_out_while_the_database_is_away(world: SmallWorld) -> None:
    await world.begin()
    _, ticker = world.ticker()
    world.time += TICK
    (lease,) = await world.open_as("replica-1").claim_due(world.time, 10)
    await ticker.tick(lease)
    world.source.bad_from = 1
    world.time += LEASE
    await ticker.offline.check_offline(lease)
    assert world.cloud.routing.weight("2") == 10


async def test_what_was_done_while_the_database_was_away_never_writes_over_a_successor(world: SmallWorld) -> None:
    await world.begin()
    _, ticker = world.ticker()
    world.time += TICK
    (lease,) = await world.open_as("replica-1").claim_due(world.time, 10)
    await ticker.tick(lease)
    world.source.bad_from = 1
    await ticker.offline.check_offline(lease)
    world.time += 2 * LEASE
    assert await world.open_as("successor").claim(world.cloud.name, world.time) is not None
    await ticker.offline.flush()
    assert (await world.open_as("reader").rollout(world.id)).phase is Phase.PROGRESSING
    assert ticker.offline.unsaved == {}


async def test_nothing_is_sent_once_the_lease_has_run_out(world: SmallWorld) -> None:
    await world.begin()
    _, ticker = world.ticker()
    world.time += TICK
    (lease,) = await world.open_as("replica-1").claim_due(world.time, 10)
    world.time = lease.until
    with pytest.raises(LeaseLostError):
        await ticker.tick(lease)
    assert world.cloud.sent == []


async def test_an_intent_of_another_holder_is_not_settled(world: SmallWorld) -> None:
    world.deaths.at, world.deaths.is_before = 9, True
    await world.begin()
    store, ticker = world.ticker()
    world.time += TICK
    (lease,) = await store.claim_due(world.time, 10)
    with pytest.raises(KilledError):
        await ticker.tick(lease)
    assert await world.open_as("reader").intent(world.cloud.name) is not None
    world.time += LEASE
    assert await world.open_as("successor").claim(world.cloud.name, world.time) is not None
    sent = list(world.cloud.sent)
    with pytest.raises(LeaseLostError):
        await ticker.tick(lease)
    assert world.cloud.sent == sent
