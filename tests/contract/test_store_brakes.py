"""Stops and holds in the store: two people at once, the same said twice, ends, and their events."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from builders import NOON
from foundry_rollouts.controller.brakes import BrakeFacts
from foundry_rollouts.core.model.brake import Brake, BrakeKind, Scope
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.wakeups import listen
from foundry_rollouts.telemetry import Metrics
from patience import PATIENCE

OpenStore = Callable[[str], SqlStore]

LINE = Scope(BrakeKind.LINE)
HOLD = Scope(BrakeKind.HOLD, agent="support-agent")
LATER = NOON + timedelta(hours=4)


def a_stop(number: int = 1, author: str = "kim", until: datetime | None = None, scope: Scope = LINE) -> Brake:
    return Brake(f"b-{number}", scope, "incident 4711", author, NOON + timedelta(seconds=number), until)


def a_hold(number: int, version: str, author: str = "kim") -> Brake:
    return replace(a_stop(number, author, scope=HOLD), version=version)


async def told(store: SqlStore) -> list[tuple[str, str, str | None]]:
    return [(event.kind, event.agent, event.author) for _, event in await store.events_behind(0, 100)]


async def test_the_same_person_stops_once_and_moves_the_end(store: SqlStore) -> None:
    assert (await store.put_on(a_stop(1))).id == "b-1"
    assert (await store.put_on(a_stop(2))).id == "b-1"
    moved = await store.put_on(a_stop(3, until=LATER))
    assert (moved.id, moved.since, moved.until) == ("b-1", NOON + timedelta(seconds=1), LATER)
    assert await store.brakes() == [moved]
    assert await told(store) == [("line.stopped", "*", "kim")] * 2


async def test_a_line_that_two_people_stopped_is_started_once_for_both(store: SqlStore) -> None:
    await store.put_on(a_stop(1))
    await store.put_on(a_stop(2, "lee", LATER))
    await store.put_on(a_stop(3, scope=Scope(BrakeKind.LINE, "shop")))
    ended = await store.take_off(LINE, NOON + timedelta(minutes=1), "sam", "it is over")
    assert [each.author for each in ended] == ["kim", "lee"]
    assert [each.scope.project for each in await store.brakes()] == ["shop"]
    assert await store.take_off(LINE, NOON + timedelta(minutes=2), "sam", None) == []
    assert [each.ended_by for each in await store.ended_brakes(BrakeKind.LINE, 10)] == ["sam", "sam"]
    stopped, started = ("line.stopped", "*"), ("line.started", "*", "sam")
    assert await told(store) == [
        (*stopped, "kim"),
        (*stopped, "lee"),
        ("line.stopped", "shop/*", "kim"),
        started,
        started,
    ]
    (event, *_) = [event for _, event in await store.events_behind(3, 1)]
    assert event.because == "sam started the line (it is over). kim stopped it at 2026-03-02 12:00 UTC: incident 4711"


async def test_an_agent_is_held_at_one_version(store: SqlStore) -> None:
    await store.put_on(a_hold(1, "6"))
    with pytest.raises(ConflictError, match=r"kim holds agent support-agent at version 6 .*: end that hold first"):
        await store.put_on(a_hold(2, "7", "lee"))
    await store.put_on(a_hold(3, "6", "lee"))
    assert len(await store.brakes()) == 2


async def test_what_is_over_ends_once_and_says_so_whichever_replicas_notice(
    store: SqlStore, open_store: OpenStore
) -> None:
    await store.put_on(a_stop(1, until=LATER))
    await store.put_on(a_hold(2, "6"))
    assert await store.expire_brakes(LATER - timedelta(microseconds=1)) == []
    other = open_store("replica-b")
    found = await asyncio.gather(store.expire_brakes(LATER), other.expire_brakes(LATER))
    assert sorted(map(len, found)) == [0, 1]
    (ended,) = await store.ended_brakes(BrakeKind.LINE, 10)
    assert (ended.ended_at, ended.ended_by) == (LATER, None)
    (event,) = [event for _, event in await store.events_behind(2, 10)]
    assert (event.kind, event.at) == ("line.stop_expired", LATER)
    assert event.because == (
        "the stop of the line by kim (incident 4711) ended at 2026-03-02 16:00 UTC, as kim had said"
    )
    await store.put_on(a_stop(9, until=LATER + timedelta(hours=1)))
    assert len(await store.brakes()) == 2, "what ended does not come back"


async def test_two_people_who_stop_and_start_at_once_leave_one_answer(store: SqlStore, open_store: OpenStore) -> None:
    other = open_store("replica-b")
    await asyncio.gather(
        store.put_on(a_stop(1)), other.put_on(a_stop(2)), store.put_on(a_stop(3)), other.put_on(a_stop(4))
    )
    assert len(await store.brakes()) == 1
    at = NOON + timedelta(minutes=1)
    ended = await asyncio.gather(store.take_off(LINE, at, "sam", None), other.take_off(LINE, at, "lee", None))
    assert sorted(map(len, ended)) == [0, 1]
    assert [kind for kind, *_ in await told(store)] == ["line.stopped", "line.started"]


async def test_another_replica_knows_of_a_stop_within_a_second_without_a_ring(
    store: SqlStore, open_store: OpenStore
) -> None:
    facts = BrakeFacts(open_store("replica-b"), Metrics("test"), timedelta(minutes=2))
    assert await facts.standing(NOON) == []
    await store.put_on(a_stop(1))
    assert [each.id for each in await facts.standing(NOON + timedelta(seconds=1))] == ["b-1"]
    await facts.aclose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_stop_a_start_and_an_end_ring_at_every_replica(store: SqlStore, database_url: str) -> None:
    heard: asyncio.Queue[Sequence[str]] = asyncio.Queue()
    ears = asyncio.create_task(listen(database_url, heard.put_nowait))

    async def next_ring() -> Sequence[str]:
        return await asyncio.wait_for(heard.get(), PATIENCE)

    try:
        assert await next_ring() == ()  # it listens
        await store.put_on(a_stop(1, until=LATER))
        assert await next_ring() == ()
        await store.expire_brakes(LATER)
        assert await next_ring() == ()
        await store.put_on(a_stop(2))
        assert await next_ring() == ()
        await store.take_off(LINE, LATER, "lee", None)
        assert await next_ring() == ()
    finally:
        ears.cancel()
