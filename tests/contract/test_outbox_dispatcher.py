"""Couriers on one outbox: killed at any touch nothing is lost, and no two of them tell the same at the same time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from builders import NOON, a_rollout, an_event
from foundry_rollouts.notify.dispatcher import MARGIN, Dispatcher
from foundry_rollouts.ports import Backlog, Message, Record
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from receivers import Listener
from small_world import Deaths, KilledError, Mortal

OpenStore = Callable[[str], SqlStore]

LIMIT = timedelta(seconds=10)


@dataclass
class MortalReceiver:
    """A receiver that ends the process before or after it was told."""

    inner: Mortal
    limit: timedelta = LIMIT

    async def tell(self, message: Message) -> None:
        await self.inner.tell(message)

    async def aclose(self) -> None:
        """Nothing is open."""


def a_courier(store: Any, receiver: Any, now: Callable[[], datetime] = lambda: NOON) -> Dispatcher:
    return Dispatcher(store, receiver, Metrics("test"), now, timedelta(hours=24), lambda: 1.0)


async def happened(store: SqlStore, rollout: str, count: int) -> list[str]:
    """Let so many events of a new rollout happen, and return their ids."""
    agent = f"agent-{rollout}"
    events = [an_event(id=f"{rollout}:{number}", agent=agent, rollout=rollout) for number in range(count)]
    await store.create(a_rollout(id=rollout, agent=agent), events[0], None)
    lease = await store.claim(agent, NOON)
    assert lease is not None
    for event in events[1:]:
        await store.record(lease, Record(event=event))
    return [event.id for event in events]


async def told_in_spite_of(deaths: Deaths, store: SqlStore) -> list[str]:
    """Drain until nothing waits; each death is followed by another dispatcher when the time of what it held is over."""
    listener, clock = Listener(), [NOON]
    while (await store.backlog()).pending:
        deaths.is_dead = False
        receiver = MortalReceiver(Mortal(listener, deaths))
        with suppress(KilledError):
            await a_courier(Mortal(store, deaths), receiver, lambda: clock[-1]).drain()
        clock.append(clock[-1] + LIMIT + MARGIN)
    return listener.told


async def test_a_courier_killed_at_any_touch_loses_nothing_and_repeats_only_what_it_could_not_mark(
    open_store: OpenStore,
) -> None:
    store, repeats, touch, is_over = open_store("replica-a"), 0, 0, False
    while not is_over:
        touch += 1
        for is_before in (True, False):
            deaths = Deaths(touch, is_before=is_before, is_final=True)
            events = {rollout: await happened(store, f"{touch}-{is_before}-{rollout}", 2) for rollout in "ab"}
            told = await told_in_spite_of(deaths, store)
            for of_rollout in events.values():
                heard = dict.fromkeys(event for event in told if event in of_rollout)  # repeats are dropped
                assert list(heard) == of_rollout, (touch, is_before)
            assert await store.backlog() == Backlog(0, None)
            repeats += len(told) - 4
            is_over = deaths.at is not None
    # A death before a mark is set repeats what is on its way then: one message of each rollout.
    assert touch > 10
    assert 0 < repeats <= 2 * touch


async def test_replicas_that_drain_together_tell_each_message_once_and_each_rollout_in_turn(
    open_store: OpenStore,
) -> None:
    store, receiver = open_store("replica-a"), Listener(takes=0.01)
    events = {rollout: await happened(store, rollout, 4) for rollout in "abcdef"}
    replicas = [store, open_store("replica-b"), open_store("replica-c")]
    await asyncio.gather(*(a_courier(each, receiver).drain() for each in replicas))
    assert receiver.collisions == []
    for of_rollout in events.values():
        assert [event for event in receiver.told if event in of_rollout] == of_rollout
