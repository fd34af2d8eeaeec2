"""What belongs to the end of a rollout is done once, whoever brings it about and whatever answer was lost."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import pytest

from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.effects import SessionsOnRollback
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal, StoreError
from foundry_rollouts.ports import Lease, SessionStatus
from patience import PATIENCE
from small_world import TICK, SmallCloud, SmallWorld, a_quick_policy


@dataclass
class Losing:
    """Does what is asked, and loses the answers of some calls."""

    inner: Any
    of: str
    error: Exception
    answers: int = 1

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.inner, name)
        if name != self.of:
            return real

        async def lose(*args: Any, **kwargs: Any) -> Any:
            answer = await real(*args, **kwargs)
            if self.answers:
                self.answers -= 1
                raise self.error
            return answer

        return lose


async def harmed(world: SmallWorld) -> tuple[Ticker, Lease]:
    """Return a replica with a canary at work that is about to fail."""
    world.policy = a_quick_policy(sessions_on_rollback=SessionsOnRollback.STOP)
    await world.begin()
    store, ticker = world.ticker()
    world.time += TICK
    (lease,) = await store.claim_due(world.time, 10)
    await ticker.tick(lease)
    world.source.bad_from = 1
    world.time += TICK
    return ticker, lease


def ended(ticker: Ticker) -> float:
    """Return how many rollouts were counted as rolled back."""
    name = 'foundry_rollouts_rollout_duration_seconds_count{outcome="rolled_back"}'
    lines = ticker.metrics.render()[0].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def all_is_done(world: SmallWorld, ticker: Ticker) -> None:
    assert (await world.open_as("reader").rollout(world.id)).phase is Phase.ROLLED_BACK
    assert world.cloud.routing == Routing.of({"1": 100})
    assert set(world.cloud.stopped) == {"session-2"}
    assert world.source.released == [world.id]
    assert ended(ticker) == 1
    assert ticker.offline.last_known == {}


async def test_a_rollback_whose_answer_was_lost_is_ended_in_full_by_the_tick_that_settles_it(
    world: SmallWorld,
) -> None:
    ticker, lease = await harmed(world)
    lost = CloudError("agents.route", Refusal(None, "timeout", "no answer"))
    cloud: Any = Losing(world.cloud, "route", lost)
    ticker = replace(ticker, world=replace(ticker.world, cloud=cloud))
    with pytest.raises(CloudError):
        await ticker.tick(lease)
    assert world.source.released == []
    assert await ticker.tick(lease) is True  # It is kept until its sessions are looked for again.
    await all_is_done(world, ticker)


async def test_a_rollback_that_another_process_left_behind_is_counted_and_ended_by_its_successor(
    world: SmallWorld,
) -> None:
    ticker, lease = await harmed(world)
    lost = CloudError("agents.route", Refusal(None, "timeout", "no answer"))
    cloud: Any = Losing(world.cloud, "route", lost)
    with pytest.raises(CloudError):
        await replace(ticker, world=replace(ticker.world, cloud=cloud)).tick(lease)
    world.time = lease.until
    store, successor = world.ticker()
    (lease,) = await store.claim_due(world.time, 10)
    await successor.tick(lease)
    await all_is_done(world, successor)


async def test_an_end_whose_record_was_written_unnoticed_is_noticed_at_the_next_look(world: SmallWorld) -> None:
    ticker, lease = await harmed(world)
    store: Any = Losing(ticker.world.store, "record", StoreError("the answer was lost"))
    with pytest.raises(StoreError):
        await replace(ticker, world=replace(ticker.world, store=store)).tick(lease)
    assert world.source.released == []
    await ticker.tick(lease)
    await all_is_done(world, ticker)
    await ticker.tick(lease)
    await all_is_done(world, ticker)


async def test_what_is_taken_back_without_a_database_is_ended_in_full_too(world: SmallWorld) -> None:
    ticker, lease = await harmed(world)
    await ticker.offline.check_offline(lease)
    await ticker.offline.flush()
    await all_is_done(world, ticker)


async def test_one_session_that_refuses_to_stop_keeps_neither_the_others_nor_the_record(world: SmallWorld) -> None:
    class Stubborn(SmallCloud):
        async def sessions(self, agent: str) -> Any:
            for session in ("stubborn", "willing"):
                async for found in super().sessions(agent):
                    yield replace(found, id=f"{session}-{found.version}")

        async def stop_session(self, agent: str, session: str) -> None:
            if session.startswith("stubborn"):
                raise CloudError("sessions.stop", Refusal(500, "server_error", "no"))
            await super().stop_session(agent, session)

    ticker, lease = await harmed(world)
    stubborn: Any = Stubborn(world.cloud.name)
    await replace(ticker, world=replace(ticker.world, sessions=stubborn)).tick(lease)
    assert stubborn.stopped == ["willing-2"]
    assert (await world.open_as("reader").rollout(world.id)).phase is Phase.ROLLED_BACK


class Hanging(SmallCloud):
    """Never says which sessions there are."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked = asyncio.Event()

    async def sessions(self, agent: str) -> Any:
        self.asked.set()
        await asyncio.Event().wait()
        yield agent


class Intentless:
    """A database that goes away just before an intent is opened."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def open_intent(self, *_: Any) -> None:
        raise StoreError("away")


async def watch(ticker: Ticker, lease: Lease) -> None:
    await ticker.offline.check_offline(lease)


async def tick(ticker: Ticker, lease: Lease) -> None:
    store: Any = Intentless(ticker.world.store)
    await replace(ticker, world=replace(ticker.world, store=store)).tick(lease)


@pytest.mark.parametrize("go_back", [watch, tick])
async def test_a_rollback_without_a_database_is_recorded_though_the_end_of_its_sessions_is_cut_off(
    world: SmallWorld, go_back: Callable[[Ticker, Lease], Coroutine[Any, Any, None]]
) -> None:
    ticker, lease = await harmed(world)
    hanging: Any = Hanging(world.cloud.name)
    ticker = replace(ticker, world=replace(ticker.world, sessions=hanging))
    ticker.offline.world = ticker.world
    work = asyncio.create_task(go_back(ticker, lease))
    await asyncio.wait_for(hanging.asked.wait(), PATIENCE)
    work.cancel()
    await asyncio.wait([work])
    assert world.cloud.routing == Routing.of({"1": 100})
    await ticker.offline.flush()
    assert (await world.open_as("reader").rollout(world.id)).phase is Phase.ROLLED_BACK


async def test_a_tick_that_loses_the_database_ends_a_rollback_in_full_too(world: SmallWorld) -> None:
    ticker, lease = await harmed(world)
    await tick(ticker, lease)
    await ticker.offline.flush()
    await all_is_done(world, ticker)


@pytest.mark.parametrize(
    "status", [SessionStatus.CREATING, SessionStatus.RUNNING, SessionStatus.UPDATING, SessionStatus.UNKNOWN]
)
async def test_a_session_in_any_live_status_is_stopped_after_a_rollback(
    world: SmallWorld, status: SessionStatus
) -> None:
    world.cloud.session_status = status
    ticker, lease = await harmed(world)
    await ticker.tick(lease)
    await all_is_done(world, ticker)
