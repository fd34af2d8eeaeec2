"""What is read: histories, pages, counts and agents."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from builders import NOON, a_rollout, an_event
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import NotFoundError, StoreError
from foundry_rollouts.ports import AgentKnown, Lease, Record, RolloutFilter
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore

OpenStore = Callable[[str], SqlStore]
LATER = NOON + timedelta(minutes=1)


async def held(store: SqlStore) -> Lease:
    lease = await store.claim("support-agent", NOON)
    assert lease
    return lease


# --- history -----------------------------------------------------------------------------------------------


async def test_a_history_comes_in_the_order_in_which_it_was_written(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(id="first", at=LATER), None)
    lease = await held(store)
    await store.record(lease, Record(event=an_event(id="second", at=NOON)))
    assert [event.id for event in await store.history("r-1")] == ["first", "second"]
    assert [event.id for event in await store.history("r-1", limit=1)] == ["first"]
    assert [event.id for event in await store.history("r-1", after="first", limit=1)] == ["second"]
    assert not await store.history("r-1", after="second")


async def test_a_history_does_not_go_on_from_an_event_it_does_not_hold(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    with pytest.raises(NotFoundError, match="no event stranger"):
        await store.history("r-1", after="stranger")


@pytest.mark.parametrize("change", ["UPDATE events SET because = 'all went well'", "DELETE FROM events"])
async def test_nobody_rewrites_the_history(store: SqlStore, database_url: str, change: str) -> None:
    await store.create(a_rollout(), an_event(), None)
    database = Database(database_url)
    try:
        with pytest.raises(StoreError, match="append only"):
            async with database.writing() as connection:
                await connection.execute(text(change))
    finally:
        await database.close()
    assert await store.history("r-1") == [an_event()]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("key", ["id", "seq"])
async def test_nobody_replaces_an_event_in_a_file(store: SqlStore, database_url: str, key: str) -> None:
    await store.create(a_rollout(), an_event(), None)
    others = {"id": "'other'", "seq": "7"} | {key: key}
    replacing = (
        "INSERT OR REPLACE INTO events (id, seq, at, kind, agent, rollout, because)"
        f" SELECT {others['id']}, {others['seq']}, at, kind, agent, rollout, 'all went well' FROM events"
    )
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection, connection:
        assert connection.execute(replacing).rowcount == 0
    assert await store.history("r-1") == [an_event()]


async def test_a_sentence_with_what_no_database_can_keep_is_written_out(store: SqlStore) -> None:
    rollout = a_rollout(because="\0 half \ud83d of ä \N{PARTY POPPER}")
    await store.create(rollout, an_event(because=rollout.because), "\0key")
    expected = r"\x00 half \ud83d of ä " + "\N{PARTY POPPER}"
    assert (await store.history("r-1"))[0].because == expected
    assert (await store.rollout("r-1")).because == expected
    with pytest.raises(NotFoundError):
        await store.rollout("\0")


# --- rollouts ----------------------------------------------------------------------------------------------


async def some_rollouts(store: SqlStore) -> None:
    """Create five: ``r-0`` is the oldest; ``r-2`` and ``r-3`` were created in the same instant."""
    for number, minute in enumerate((0, 1, 2, 2, 3)):
        agent, phase = ("odd", Phase.FAILED) if number % 2 else ("even", Phase.PENDING)
        rollout = a_rollout(
            id=f"r-{number}",
            agent=agent,
            canary=str(number),
            phase=phase,
            created_at=NOON + timedelta(minutes=minute),
        )
        await store.create(rollout, an_event(id=f"r-{number}-1", agent=agent, rollout=rollout.id), None)


async def ids(store: SqlStore, which: RolloutFilter) -> Sequence[str]:
    return [rollout.id for rollout in await store.rollouts(which)]


async def test_rollouts_come_newest_first_in_pages_that_neither_overlap_nor_skip(store: SqlStore) -> None:
    await some_rollouts(store)
    assert await ids(store, RolloutFilter(limit=2)) == ["r-4", "r-3"]
    assert await ids(store, RolloutFilter(limit=2, before="r-3")) == ["r-2", "r-1"]
    assert await ids(store, RolloutFilter(limit=2, before="r-1")) == ["r-0"]
    assert await ids(store, RolloutFilter(limit=2, before="r-0")) == []


async def test_rollouts_are_listed_by_agent_and_by_phase(store: SqlStore) -> None:
    await some_rollouts(store)
    assert await ids(store, RolloutFilter(agent="odd")) == ["r-3", "r-1"]
    assert await ids(store, RolloutFilter(phase=Phase.PENDING)) == ["r-4", "r-2", "r-0"]
    assert await ids(store, RolloutFilter(agent="odd", phase=Phase.PENDING)) == []
    assert await ids(store, RolloutFilter(agent="even", before="r-3")) == ["r-2", "r-0"]


async def test_a_page_does_not_begin_after_an_unknown_rollout(store: SqlStore) -> None:
    with pytest.raises(NotFoundError, match="no rollout stranger"):
        await store.rollouts(RolloutFilter(before="stranger"))


async def test_unfinished_rollouts_come_oldest_first(store: SqlStore) -> None:
    await some_rollouts(store)
    assert [rollout.id for rollout in await store.unfinished("even")] == ["r-0", "r-2", "r-4"]
    assert not await store.unfinished("odd")


async def test_every_phase_is_counted(store: SqlStore) -> None:
    await some_rollouts(store)
    assert await store.counts() == dict.fromkeys(Phase, 0) | {Phase.PENDING: 3, Phase.FAILED: 2}


async def test_an_unknown_rollout_is_not_found(store: SqlStore) -> None:
    with pytest.raises(NotFoundError, match="no rollout stranger"):
        await store.rollout("stranger")


async def test_times_come_back_in_utc_to_the_microsecond(store: SqlStore) -> None:
    at = datetime(2026, 3, 29, 3, 30, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    await store.create(a_rollout(created_at=at), an_event(at=at), None)
    (event,) = await store.history("r-1")
    assert event.at == at
    assert event.at.tzinfo is UTC
    assert (await store.rollout("r-1")).created_at == at


# --- agents ------------------------------------------------------------------------------------------------

SUPPORT = AgentKnown(
    "support-agent", latest="2", latest_status="active", routing=Routing.of({"1": 100}), policy="support"
)


async def test_what_discovery_saw_is_remembered(store: SqlStore) -> None:
    await store.see_agents([SUPPORT, AgentKnown("another")], NOON)
    assert await store.agents() == [AgentKnown("another", seen_at=NOON), replace(SUPPORT, seen_at=NOON)]


async def test_discovery_leaves_the_stable_version_as_it_was_recorded(store: SqlStore) -> None:
    await store.record(await held(store), Record(stable="1", newest="2"))
    await store.see_agents([replace(SUPPORT, stable="9", newest="9")], NOON)
    assert await store.agents() == [replace(SUPPORT, stable="1", newest="2", seen_at=NOON)]


async def test_a_record_leaves_what_discovery_saw(store: SqlStore) -> None:
    await store.see_agents([SUPPORT], NOON)
    await store.record(await held(store), Record(stable="2"))
    assert await store.agents() == [replace(SUPPORT, stable="2", seen_at=NOON)]


async def test_an_agent_that_the_listing_lacks_is_gone_until_it_is_seen_again(store: SqlStore) -> None:
    await store.see_agents([SUPPORT], NOON)
    await store.see_agents([], LATER)
    assert await store.agents() == [replace(SUPPORT, seen_at=NOON, is_gone=True)]
    await store.see_agents([SUPPORT], LATER)
    assert await store.agents() == [replace(SUPPORT, seen_at=LATER)]


async def test_a_slow_listing_does_not_overwrite_a_later_one(store: SqlStore, open_store: OpenStore) -> None:
    await open_store("replica-b").see_agents([replace(SUPPORT, latest="3")], LATER)
    await store.see_agents([SUPPORT], NOON)
    assert [(agent.latest, agent.is_gone) for agent in await store.agents()] == [("3", False)]
    await store.see_agents([], NOON)
    assert [agent.is_gone for agent in await store.agents()] == [False]


async def no_row_for(store: SqlStore, name: str) -> None:
    """Let the database refuse every row of one agent."""
    async with store._database.writing() as connection:
        if connection.dialect.name == "postgresql":
            refusal = f"ALTER TABLE agents ADD CONSTRAINT sick CHECK (name <> '{name}') NOT VALID"
        else:
            refusal = (
                f"CREATE TRIGGER sick BEFORE INSERT ON agents WHEN NEW.name = '{name}'"
                " BEGIN SELECT RAISE(ABORT, 'violates sick'); END"
            )
        await connection.execute(text(refusal))


async def test_an_agent_that_cannot_be_written_keeps_no_other_from_it_and_is_not_gone(store: SqlStore) -> None:
    many = [AgentKnown(f"agent-{number}") for number in range(9)]
    await store.see_agents(many, NOON)
    await no_row_for(store, "agent-4")
    unwritten = await store.see_agents([replace(agent, latest="2") for agent in many[:-1]], LATER)
    assert list(unwritten) == ["agent-4"]
    assert "sick" in unwritten["agent-4"]
    found = {agent.name: (agent.latest, agent.is_gone) for agent in await store.agents()}
    assert found.pop("agent-4") == (None, False)
    assert found.pop("agent-8") == (None, True)
    assert set(found.values()) == {("2", False)}


async def test_where_no_agent_can_be_written_the_database_is_to_blame(store: SqlStore) -> None:
    await no_row_for(store, "support-agent")
    with pytest.raises(StoreError, match="sick"):
        await store.see_agents([SUPPORT], NOON)


async def test_an_agent_that_half_a_listing_lacks_is_not_gone(store: SqlStore) -> None:
    await store.see_agents([SUPPORT], NOON)
    assert await store.see_agents([AgentKnown("another")], LATER, is_whole=False) == {}
    assert [(agent.name, agent.is_gone) for agent in await store.agents()] == [
        ("another", False),
        ("support-agent", False),
    ]


async def test_thousands_of_agents_are_seen_at_once(store: SqlStore) -> None:
    many = [AgentKnown(f"agent-{number:04}") for number in range(3000)]
    await store.see_agents(many, NOON)
    await store.see_agents(many[1:], LATER)
    assert [agent.name for agent in await store.agents() if agent.is_gone] == ["agent-0000"]


async def test_measurements_are_forgotten_a_few_at_a_time(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foundry_rollouts.store.measurements.FORGOTTEN_AT_ONCE", 2)
    for name, phase in (("running", Phase.PROGRESSING), ("ended", Phase.PROMOTED), ("younger", Phase.PROMOTED)):
        lease = await store.claim(name, NOON)
        assert lease is not None
        since = NOON + timedelta(days=name == "younger")
        windows = [Window(since, since + timedelta(seconds=10 * count)) for count in range(1, 6)]
        measured = tuple(Measurement("probe", window) for window in windows)
        rollout = a_rollout(id=name, agent=name, phase=phase, step=1)
        await store.record(lease, Record(an_event(id=name, agent=name, rollout=name), rollout, measurements=measured))
    assert await store.forget_measurements(NOON + timedelta(seconds=35)) == 3
    assert await store.forget_measurements(NOON + timedelta(hours=1)) == 2
    assert [len(await store.measurements(each)) for each in ("running", "ended", "younger")] == [5, 0, 5]


async def test_measurements_of_ended_rollouts_are_forgotten_and_the_history_is_not(
    store: SqlStore,
) -> None:
    window = Window(NOON, NOON + timedelta(seconds=10))
    for name, phase in (("ended", Phase.PROMOTED), ("running", Phase.PROGRESSING)):
        rollout = a_rollout(id=name, agent=name, phase=phase, step=1)
        lease = await store.claim(name, NOON)
        assert lease is not None
        event = an_event(id=f"{name}-1", agent=name, rollout=name)
        await store.record(lease, Record(event, rollout, measurements=(Measurement("probe", window),), due_at=NOON))
    assert await store.forget_measurements(NOON) == 0
    assert await store.forget_measurements(NOON + timedelta(days=90)) == 1
    assert await store.measurements("ended") == []
    assert len(await store.measurements("running")) == 1
    assert len(await store.history("ended")) == 1
