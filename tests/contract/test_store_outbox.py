"""The outbox: a message with each event, told in turn, in one pair of hands at a time, and never lost."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from builders import NOON, a_rollout, an_event
from foundry_rollouts.errors import LeaseLostError, StoreError
from foundry_rollouts.ports import Backlog, Message, Record
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore

OpenStore = Callable[[str], SqlStore]

UNTIL = NOON + timedelta(seconds=25)
LATER = NOON + timedelta(hours=1)


async def happened(store: SqlStore, *events: str, agent: str = "support-agent") -> None:
    """Begin a rollout of ``agent`` and let the rest of ``events`` happen, each named ROLLOUT-NUMBER."""
    rollout = a_rollout(id=events[0].partition("-")[0], agent=agent)
    await store.create(rollout, an_event(id=events[0], agent=agent, rollout=rollout.id), None)
    lease = await store.claim(agent, NOON)
    assert lease is not None
    for id in events[1:]:  # noqa: A001 - the word of the port
        await store.record(lease, Record(event=an_event(id=id, agent=agent, rollout=rollout.id)))


async def taken(store: SqlStore, at: object = NOON, limit: int = 10) -> list[str]:
    """Take what is due in hand and return the ids of its events."""
    return [message.event.id for message in await store.take_messages(at, limit, UNTIL)]  # type: ignore[arg-type]


async def one(store: SqlStore) -> Message:
    (message,) = await store.take_messages(NOON, 10, UNTIL)
    return message


async def test_every_event_leaves_a_message_that_tells_it_whole(store: SqlStore) -> None:
    await happened(store, "a-1")
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    whole = an_event(id="x", rollout=None, step=2, weights={"1": 50, "2": 50}, author="ann", because="proved \0 50 : 1")
    await store.record(lease, Record(event=whole))
    messages = await store.take_messages(NOON, 10, UNTIL)
    assert [message.event for message in messages] == [
        an_event(id="a-1", rollout="a"),
        replace(whole, because=r"proved \x00 50 : 1"),
    ]
    assert [message.attempts for message in messages] == [1, 1]
    assert messages[0].number < messages[1].number


async def test_what_happens_once_leaves_one_message_however_often_it_is_written(store: SqlStore) -> None:
    for _ in range(2):
        await store.create(a_rollout(), an_event(), "key")
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    for _ in range(2):
        await store.record(lease, Record(event=an_event(id="r-1-2")))
    assert await store.backlog() == Backlog(2, NOON)
    await store.mark_delivered(await one(store))
    await store.create(a_rollout(), an_event(), "key")
    assert await store.backlog() == Backlog(1, NOON)


async def test_a_record_that_is_refused_leaves_neither_event_nor_message(
    store: SqlStore, open_store: OpenStore
) -> None:
    await happened(store, "a-1")
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    await open_store("replica-b").claim("support-agent", NOON + timedelta(minutes=1))
    with pytest.raises(LeaseLostError):
        await store.record(lease, Record(event=an_event(id="a-2", rollout="a")))
    assert [event.id for event in await store.history("a")] == ["a-1"]
    assert await store.backlog() == Backlog(1, NOON)


async def test_an_event_whose_message_cannot_be_written_did_not_happen(store: SqlStore, database_url: str) -> None:
    await happened(store, "a-1")
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    database = Database(database_url)
    async with database.writing() as connection:
        await connection.execute(text("ALTER TABLE outbox RENAME TO elsewhere"))
    with pytest.raises(StoreError):
        await store.record(lease, Record(event=an_event(id="a-2", rollout="a")))
    async with database.writing() as connection:
        await connection.execute(text("ALTER TABLE elsewhere RENAME TO outbox"))
    await database.close()
    assert [event.id for event in await store.history("a")] == ["a-1"]
    assert await store.backlog() == Backlog(1, NOON)


async def test_without_a_receiver_no_message_is_left(database_url: str) -> None:
    store = SqlStore(database_url, replica="a", lease=timedelta(seconds=30))
    await happened(store, "a-1", "a-2")
    assert await store.backlog() == Backlog(0, None)
    await store.close()


async def test_who_drains_is_rung_at_once_each_message_is_committed(database_url: str) -> None:
    rung: list[int] = []
    store = SqlStore(database_url, replica="a", lease=timedelta(seconds=30), on_message=lambda: rung.append(1))
    await happened(store, "a-1", "a-2")
    assert len(rung) == 2
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    await store.record(lease, Record(due_at=NOON))
    assert len(rung) == 2
    await store.close()


async def test_a_rollout_is_told_in_turn_and_rollouts_beside_each_other(store: SqlStore) -> None:
    await happened(store, "a-1", "a-2")
    await happened(store, "b-1", "b-2", agent="other")
    first = await store.take_messages(NOON, 10, UNTIL)
    assert [message.event.id for message in first] == ["a-1", "b-1"]
    assert await taken(store) == []
    await store.mark_delivered(first[0])
    assert await taken(store) == ["a-2"]
    await store.postpone(first[1], LATER, "HTTP 500")
    assert await taken(store, UNTIL) == ["a-2"]
    assert await taken(store, LATER) == ["a-2", "b-1"]


async def test_no_more_than_asked_for_are_taken_the_oldest_first(store: SqlStore) -> None:
    await happened(store, "a-1")
    await happened(store, "b-1", agent="other")
    assert [await taken(store, limit=1) for _ in range(3)] == [["a-1"], ["b-1"], []]


async def test_replicas_never_have_the_same_message_in_hand(store: SqlStore, open_store: OpenStore) -> None:
    for number in range(12):
        await happened(store, f"{number:02}-1", agent=f"agent-{number}")
    replicas = [store, *(open_store(f"replica-{name}") for name in "bcd")]
    hands = await asyncio.gather(*(taken(replica, limit=2) for replica in replicas for _ in range(2)))
    all_taken = [id for hand in hands for id in hand]  # noqa: A001 - the word of the port
    rest = await taken(store)
    assert sorted(all_taken + rest) == [f"{number:02}-1" for number in range(12)]


async def test_what_a_dead_replica_had_in_hand_comes_to_another_when_its_time_is_over(
    store: SqlStore, open_store: OpenStore
) -> None:
    await happened(store, "a-1", "a-2")
    left = await one(store)
    other = open_store("replica-b")
    assert await taken(other, UNTIL - timedelta(milliseconds=1)) == []
    (again,) = await other.take_messages(UNTIL, 10, LATER)
    assert (again.event, again.number, again.attempts) == (left.event, left.number, 2)


async def test_who_was_overtaken_can_say_that_it_was_told_and_nothing_else(
    store: SqlStore, open_store: OpenStore
) -> None:
    await happened(store, "a-1")
    slow = await one(store)
    (quick,) = await open_store("replica-b").take_messages(UNTIL, 10, LATER)
    await store.postpone(slow, NOON, "late")
    await store.give_up(slow, NOON, "late")
    assert await taken(store, UNTIL) == []
    assert await store.backlog() == Backlog(1, NOON)
    await store.mark_delivered(slow)
    await store.postpone(quick, NOON, "there is nothing to put back")
    assert await store.backlog() == Backlog(0, None)


async def test_what_is_given_up_is_kept_with_its_reason_and_lets_the_next_one_through(
    store: SqlStore, database_url: str
) -> None:
    await happened(store, "a-1", "a-2")
    await store.give_up(await one(store), LATER, "HTTP 500")
    assert await taken(store) == ["a-2"]
    assert await store.backlog() == Backlog(1, NOON)
    database = Database(database_url)
    async with database.reading() as connection:
        query = (
            "SELECT events.id, attempts, trouble FROM outbox JOIN events ON seq = event WHERE given_up_at IS NOT NULL"
        )
        assert [tuple(row) for row in await connection.execute(text(query))] == [("a-1", 1, "HTTP 500")]
    await database.close()


async def test_what_waits_for_nobody_is_retired_by_its_age_unless_it_is_in_hand(store: SqlStore) -> None:
    await happened(store, "a-1", "a-2")
    await happened(store, "b-1", agent="other")
    lease = await store.claim("other", NOON)
    assert lease is not None
    await store.record(lease, Record(event=an_event(id="b-2", agent="other", rollout="b", at=LATER)))
    (in_hand,) = await store.take_messages(NOON, 1, UNTIL)
    assert await store.retire(LATER, NOON, "no receiver is configured") == 2
    assert await store.backlog() == Backlog(2, NOON)
    await store.mark_delivered(in_hand)
    assert await taken(store) == ["b-2"]


async def test_the_only_replica_takes_over_what_an_earlier_process_had_in_hand(store: SqlStore) -> None:
    await happened(store, "a-1")
    await one(store)
    await store.take_over()
    assert await taken(store) == ["a-1"]
