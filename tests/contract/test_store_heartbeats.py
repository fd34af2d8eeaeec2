"""Heartbeats, what is handed over by them, and counts that do not grow with the history; on both databases."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, literal, select, text, update

from builders import NOON, a_rollout, an_event
from foundry_rollouts.controller.owners import owner_of
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Due, Record
from foundry_rollouts.store import totals
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.tables import UTCDateTime, events, replicas

OpenStore = Callable[[str], SqlStore]
NAMES = ("replica-a", "replica-b", "replica-c")
LATER = NOON + timedelta(seconds=31)


async def a_due_agent(store: SqlStore, name: str) -> None:
    rollout = a_rollout(id=f"r-{name}", agent=name)
    await store.create(rollout, an_event(id=f"{name}-1", agent=name, rollout=rollout.id), None)


async def test_a_replica_is_alive_from_its_first_heartbeat_until_it_leaves(
    store: SqlStore, open_store: OpenStore
) -> None:
    assert (await store.beat()).live == {"replica-a"}
    other = open_store("replica-b")
    assert (await other.beat()).live == {"replica-a", "replica-b"}
    assert (await store.beat()).live == {"replica-a", "replica-b"}
    await other.leave()
    await other.leave()
    assert (await store.beat()).live == {"replica-a"}


async def test_a_replica_that_was_not_seen_for_a_lease_is_dead_and_forgotten_after_a_day(
    store: SqlStore, open_store: OpenStore
) -> None:
    await open_store("replica-b").beat()
    await open_store("replica-c").beat()
    await store.beat()
    for name, ago in (("replica-b", timedelta(seconds=31)), ("replica-c", timedelta(seconds=29))):
        async with store._database.writing() as connection:
            seen = (await connection.execute(select(replicas.c.seen_at).where(replicas.c.name == name))).scalar_one()
            await connection.execute(update(replicas).where(replicas.c.name == name).values(seen_at=seen - ago))
    assert (await store.beat()).live >= {"replica-a"}
    assert "replica-b" not in (await store.beat()).live
    async with store._database.writing() as connection:
        await connection.execute(
            update(replicas).where(replicas.c.name == "replica-b").values(seen_at=NOON - timedelta(days=10_000))
        )
    await store.beat()
    async with store._database.reading() as connection:
        assert "replica-b" not in set(await connection.scalars(select(replicas.c.name)))


async def test_the_database_says_what_time_it_is_whatever_the_clocks_of_replicas_say(store: SqlStore) -> None:
    await store.beat()
    async with store._database.reading() as connection:
        (row,) = await connection.execute(select(replicas))
        now = store.heartbeats.clock(connection, timedelta())
        ago = store.heartbeats.clock(connection, timedelta(minutes=5))
        present, past = (await connection.execute(select(now, ago))).one()
    assert abs(row.started_at - row.seen_at) < timedelta(minutes=1)
    assert timedelta() <= present - row.seen_at < timedelta(minutes=5)
    assert timedelta(minutes=4) < present - past <= timedelta(minutes=5, seconds=1)


async def test_a_heartbeat_tells_how_many_leases_there_are(store: SqlStore, open_store: OpenStore) -> None:
    assert (await store.beat()).leases == 0
    for name in ("one", "two", "three"):
        await a_due_agent(store, name)
    assert len(await store.claim_due(NOON, 2)) == 2
    assert len(await open_store("replica-b").claim_due(NOON, 2)) == 1
    assert (await store.beat()).leases == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_heartbeat_that_stalls_is_given_up_and_keeps_no_lease_from_being_renewed(
    store: SqlStore, database_url: str
) -> None:
    await a_due_agent(store, "agent")
    (lease,) = await store.claim_due(NOON, 1)
    await store.beat()
    database = Database(database_url)
    async with database.writing() as connection:
        await connection.execute(text("LOCK TABLE replicas IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StoreError):
            await store.beat()
        assert len(await store.renew([lease], NOON)) == 1
        with pytest.raises(StoreError):
            await store.leave()
        assert await store.hand_over(NOON)
    await database.close()


async def test_the_only_replica_forgets_those_before_it(store: SqlStore, open_store: OpenStore) -> None:
    await open_store("replica-b").beat()
    await store.take_over()
    assert (await store.beat()).live == {"replica-a"}


async def test_three_replicas_share_some_hundred_agents_by_owner_and_a_newcomer_gets_what_is_handed_over(
    store: SqlStore, open_store: OpenStore
) -> None:
    agents = [f"agent-{number:03}" for number in range(300)]
    for name in agents:
        await a_due_agent(store, name)
    stores = [store, open_store("replica-b"), open_store("replica-c")]

    def choice(name: str, live: Sequence[str]) -> Callable[[Sequence[Due]], Sequence[Due]]:
        return lambda due: [each for each in due if owner_of(each.agent, live) == name]

    held = {}
    for name, each in zip(NAMES[:2], stores, strict=False):
        held[name] = list(await each.claim_due(NOON, 500, (), choice(name, NAMES[:2])))
        assert {lease.agent for lease in held[name]} == {a for a in agents if owner_of(a, NAMES[:2]) == name}
        for lease in held[name]:
            await each.record(lease, Record(rollout=a_rollout(id=f"r-{lease.agent}", agent=lease.agent), due_at=LATER))
    for name, each in zip(NAMES[:2], stores, strict=False):
        await each.hand_over_some([at for at in held[name] if owner_of(at.agent, NAMES) != name], NOON)
    newcomers = await stores[2].claim_due(NOON, 500, (), choice("replica-c", NAMES))
    assert {lease.agent for lease in newcomers} == {a for a in agents if owner_of(a, NAMES) == "replica-c"}
    assert {lease.fence for lease in newcomers} == {2}
    assert abs(len(newcomers) - 100) < 20  # five hundred names of a hash; thousands come within a tenth


async def test_what_was_lost_meanwhile_is_not_handed_over(store: SqlStore, open_store: OpenStore) -> None:
    await a_due_agent(store, "lost")
    (lease,) = await store.claim_due(NOON, 1)
    other = open_store("replica-b")
    assert await other.claim("lost", LATER) is not None
    await store.hand_over_some([lease], LATER)
    await store.hand_over_some([], LATER)
    assert await store.claim("lost", LATER) is None


async def test_who_chooses_sees_what_is_free_first_and_who_let_it_run_out(
    store: SqlStore, open_store: OpenStore
) -> None:
    for name in ("ours", "free", "out"):
        await a_due_agent(store, name)
    assert await store.claim("ours", NOON) is not None
    assert await store.claim("ours", LATER) is not None
    assert await open_store("replica-b").claim("out", NOON) is not None
    seen: list[Due] = []

    def none(due: Sequence[Due]) -> Sequence[Due]:
        seen.extend(due)
        return ()

    assert await store.claim_due(LATER, 10, (), none) == []
    assert seen == [Due("free", NOON, None), Due("out", NOON, "replica-b"), Due("ours", NOON, "replica-a")]


# --- counts


async def end(store: SqlStore, number: int, phase: Phase) -> None:
    name = f"agent-{number}"
    await a_due_agent(store, name)
    lease = await store.claim(name, NOON)
    assert lease is not None
    ended = a_rollout(id=f"r-{name}", agent=name, phase=phase, ended_at=NOON)
    kind = "would_have_promoted" if phase is Phase.OBSERVED else phase.value
    told = an_event(id=f"{name}-2", agent=name, rollout=ended.id, kind=f"rollout.{kind}", phase=phase.value)
    await store.record(lease, Record(rollout=ended, event=told))


async def test_counts_go_on_from_what_was_counted_whoever_ended_a_rollout(
    store: SqlStore, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "OVERLAP", 3)
    other, finals = open_store("replica-b"), [phase for phase in Phase if phase.is_final]
    lease = await store.claim("observed", NOON)
    assert lease is not None
    for number in range(3 * len(finals)):
        # A step that would have been taken is no end.
        step = an_event(id=f"step-{number}", agent="observed", rollout=None, kind="rollout.would_have_advanced")
        await store.record(lease, Record(event=step))
        await end(store if number % 2 else other, number, finals[number % len(finals)])
        if number % 4 == 0:
            assert await store.counts() == await open_store(f"reader-{number}").counts()
    assert await store.counts() == {phase: 3 if phase.is_final else 0 for phase in Phase}
    await a_due_agent(other, "waiting")
    assert (await store.counts())[Phase.PENDING] == 1


async def test_a_transaction_that_commits_late_is_counted(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "OVERLAP", 4)
    await end(store, 0, Phase.PROMOTED)
    await store.counts()
    async with store._database.writing() as connection:
        newest = (await connection.execute(select(events.c.seq).order_by(events.c.seq.desc()).limit(1))).scalar_one()
        await connection.execute(insert(events).values(**of_end("later", newest + 2)))
    assert (await store.counts())[Phase.PROMOTED] == 2
    async with store._database.writing() as connection:
        await connection.execute(insert(events).values(**of_end("late", newest + 1)))
    assert (await store.counts())[Phase.PROMOTED] == 3


def of_end(name: str, seq: int) -> dict[str, Any]:
    about = {"kind": "rollout.promoted", "agent": name, "because": "it is good"}
    return {"id": name, "seq": seq, "at": NOON, **about}


async def test_counting_reads_no_ended_rollout_twice(store: SqlStore) -> None:
    asked: list[str] = []
    await end(store, 0, Phase.FAILED)
    await store.counts()
    event.listen(
        store._database._writers.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: asked.append(statement),
    )
    assert (await store.counts())[Phase.FAILED] == 1
    (about_rollouts,) = [statement for statement in asked if "FROM rollouts" in statement]
    assert "phase IN ('pending', 'progressing', 'paused')" in about_rollouts


async def test_a_clock_may_be_given_for_a_world_with_its_own_time(store: SqlStore) -> None:
    store.heartbeats.clock = lambda _, ago: literal(NOON - ago, UTCDateTime)
    await store.beat()
    async with store._database.reading() as connection:
        assert (await connection.execute(select(replicas.c.seen_at))).scalar_one() == NOON
