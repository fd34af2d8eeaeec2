"""Ticks of many agents that read and write together: each gets its own, in a few statements for all."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from builders import NOON, a_rollout, an_event, an_intent
from foundry_rollouts.core.judging.evidence import Evidence, initial
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Phase, Rollout, Stops
from foundry_rollouts.errors import ConflictError, LeaseLostError
from foundry_rollouts.ports import AgentKnown, Intent, Lease, Record
from foundry_rollouts.store import tables
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore
from statements import Tally, counting

OpenStore = Callable[[str], SqlStore]
SOON = NOON + timedelta(seconds=10)
MANY = 50


async def begun(store: SqlStore, name: str) -> tuple[Lease, Rollout]:
    """Return the lease of an agent, and its rollout on the first step."""
    rollout = a_rollout(
        id=f"r-{name}", agent=name, phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON
    )
    await store.create(rollout, an_event(id=f"{name}-1", agent=name, rollout=rollout.id), None)
    lease = await store.claim(name, NOON)
    assert lease is not None
    return lease, replace(rollout, measured_until=NOON)


async def many(store: SqlStore, count: int = MANY) -> list[tuple[Lease, Rollout]]:
    return [await begun(store, f"agent-{number}") for number in range(count)]


def a_measurement(calls: int, start: datetime = NOON, source: str = "probe") -> Measurement:
    return Measurement(source, Window(start, start + timedelta(seconds=10)), canary=Counts(calls, 1))


def quiet(rollout: Rollout, **but: Any) -> Record:
    """Return what a tick writes down that found nothing new."""
    held = replace(rollout, because=f"{rollout.agent} is watched")
    return Record(**{"rollout": held, "due_at": SOON, "evidence": initial(rollout.policy), **but})


def moved(rollout: Rollout, **to: Any) -> Record:
    """Return what a tick writes down that moved a rollout."""
    return quiet(replace(rollout, **to), event=held_event(rollout))


def ended(rollout: Rollout, phase: Phase, **but: Any) -> Record:
    """Return what a tick writes down that ended a rollout."""
    return moved(rollout, phase=phase, generation=rollout.generation + 1, ended_at=NOON, **but)


def an_intent_of(rollout: Rollout) -> Intent:
    return replace(an_intent(), agent=rollout.agent, id=f"{rollout.id}:2", record=Record(rollout=rollout))


def held_event(rollout: Rollout) -> Event:
    return an_event(
        id=f"{rollout.id}:2",
        kind="rollout.held",
        agent=rollout.agent,
        rollout=rollout.id,
        because="it waits",
        step=1,
        weights={"1": 90, "2": 10},
    )


async def rows(url: str, rollout: str) -> dict[str, list[Any]]:
    """Return all that the database has of a rollout, without the numbers of rows."""
    database = Database(url)
    found: dict[str, list[Any]] = {}
    async with database.reading() as connection:
        for table in (
            tables.rollouts,
            tables.evidence,
            tables.measurements,
            tables.events,
            tables.agents,
            tables.intents,
        ):
            key = {"rollouts": "id", "agents": "name", "intents": "agent"}.get(table.name, "rollout")
            query = select(*(column for column in table.c if column.name != "seq")).where(
                table.c[key] == (rollout.removeprefix("r-") if key in {"name", "agent"} else rollout)
            )
            found[table.name] = [tuple(row) for row in await connection.execute(query)]
    await database.close()
    return found


async def test_each_agent_reads_its_own(store: SqlStore) -> None:
    begun_ = await many(store, 5)
    await store.see_agents([AgentKnown(lease.agent, latest=str(n)) for n, (lease, _) in enumerate(begun_)], NOON)
    asked = begun_[1][1]
    await store.accept(Command("c-1", asked.id, Verb.PAUSE, asked.generation, NOON, author="ann"))
    await store.open_intent(begun_[2][0], replace(an_intent(), agent="agent-2", id="i-2"))
    behind = a_rollout(id="r-behind", agent="agent-3", canary="3", created_at=NOON + timedelta(hours=1))
    await store.create(behind, an_event(id="behind", agent="agent-3", rollout=behind.id), None)

    names = [*(lease.agent for lease, _ in begun_), "unseen"]
    found = await asyncio.gather(*(store.standing(name) for name in names))

    assert [each.queue.in_hand.agent if each.queue.in_hand else None for each in found] == [*names[:-1], None]
    assert [each.known.latest if each.known else None for each in found] == ["0", "1", "2", "3", "4", None]
    assert [[command.id for command in each.commands] for each in found] == [[], ["c-1"], [], [], [], []]
    assert [each.intent.id if each.intent else None for each in found] == [None, None, "i-2", None, None, None]
    assert [each.queue.waiting for each in found] == [0, 0, 0, 1, 0, 0]
    assert found[3].queue.newest == behind
    assert [each.evidence is not None for each in found] == [True] * 5 + [False]


async def test_fifty_ticks_read_and_write_in_a_few_statements(store: SqlStore) -> None:
    begun_ = await many(store)
    with counting(store) as tally:
        await asyncio.gather(*(store.standing(lease.agent) for lease, _ in begun_))
        assert tally == Tally(statements=5, commits=0)
        await asyncio.gather(*(store.record(lease, quiet(rollout)) for lease, rollout in begun_))
        assert tally == Tally(statements=9, commits=1)
    found = await asyncio.gather(*(store.standing(lease.agent) for lease, _ in begun_))
    assert [each.queue.in_hand.because if each.queue.in_hand else None for each in found] == [
        f"agent-{number} is watched" for number in range(MANY)
    ]


async def test_what_fifty_ticks_tell_is_written_in_one_transaction_and_sent(database_url: str) -> None:
    woken: list[int] = []
    store = SqlStore(
        database_url, replica="replica-1", lease=timedelta(hours=1), on_message=lambda: woken.append(len(woken))
    )
    begun_ = await many(store)
    waiting = (await store.backlog()).pending
    with counting(store) as tally:
        records = [(lease, quiet(rollout, event=held_event(rollout))) for lease, rollout in begun_]
        await asyncio.gather(*(store.record(lease, record) for lease, record in records))
        assert tally == Tally(statements=6, commits=1)
    assert (await store.backlog()).pending == waiting + MANY
    assert len(woken) >= MANY
    assert {event.kind for event in await store.history("r-agent-7")} == {"rollout.created", "rollout.held"}
    await store.close()


async def test_those_whose_lease_is_lost_are_refused_and_the_others_are_written(
    store: SqlStore, open_store: OpenStore
) -> None:
    begun_ = await many(store, 6)
    other = open_store("replica-b")
    for lost in (1, 4):
        assert await other.claim(f"agent-{lost}", NOON + timedelta(minutes=1))
    answers = await asyncio.gather(
        *(store.record(lease, quiet(rollout)) for lease, rollout in begun_), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [
        LeaseLostError if number in {1, 4} else type(None) for number in range(6)
    ]
    written = [(await store.rollout(rollout.id)).because == f"{rollout.agent} is watched" for _, rollout in begun_]
    assert written == [number not in {1, 4} for number in range(6)]


async def test_one_record_that_cannot_be_written_fails_alone(store: SqlStore) -> None:
    begun_ = await many(store, 4)
    naive = a_measurement(5, NOON.replace(tzinfo=None))
    answers = await asyncio.gather(
        *(
            store.record(lease, quiet(rollout, measurements=(naive,) if number == 2 else ()))
            for number, (lease, rollout) in enumerate(begun_)
        ),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), type(None), ValueError, type(None)]
    written = [(await store.rollout(rollout.id)).because == f"{rollout.agent} is watched" for _, rollout in begun_]
    assert written == [True, True, False, True]


async def test_a_text_that_a_database_cannot_keep_as_it_is_keeps_nobody_from_writing(store: SqlStore) -> None:
    begun_ = await many(store, 3)
    odd = a_measurement(5, source="pro\0be\ud800")
    await asyncio.gather(*(store.record(lease, quiet(rollout, measurements=(odd,))) for lease, rollout in begun_))
    for _, rollout in begun_:
        assert len(await store.measurements(rollout.id)) == 1


async def test_two_records_of_one_rollout_are_written_in_their_order(store: SqlStore) -> None:
    ((lease, rollout),) = await many(store, 1)
    second = quiet(replace(rollout, measured_until=SOON), due_at=SOON + timedelta(seconds=10))
    second = replace(second, rollout=replace(second.rollout, because="later"))  # type: ignore[type-var]
    await asyncio.gather(store.record(lease, quiet(rollout)), store.record(lease, second))
    assert (await store.rollout(rollout.id)).because == "later"


CASES: dict[str, Callable[[Rollout], Record]] = {
    "nothing but the rollout": lambda rollout: quiet(rollout, evidence=None),
    "evidence": quiet,
    "measurements, one of them twice": lambda rollout: quiet(
        rollout, measurements=(a_measurement(5), a_measurement(5), a_measurement(9, SOON, "logs"))
    ),
    "infinite evidence": lambda rollout: quiet(
        rollout, evidence=Evidence(initial(rollout.policy).tracks, is_proved=True)
    ),
    "never due again": lambda rollout: quiet(rollout, due_at=None),
    "an event, written twice": lambda rollout: quiet(rollout, event=held_event(rollout)),
    "words of others": lambda rollout: quiet(replace(rollout, stable="\N{ROCKET} 1"), evidence=None),
    "a step": lambda rollout: moved(rollout, step=2, generation=rollout.generation + 1),
    "a rollback": lambda rollout: ended(rollout, Phase.ROLLED_BACK),
    "a rollback that owes the end of sessions": lambda rollout: ended(rollout, Phase.ROLLED_BACK, stops=Stops()),
    "an end that the release before has no word for": lambda rollout: ended(rollout, Phase.ABORTED),
    "an end of which two events tell": lambda rollout: replace(
        ended(rollout, Phase.SUPERSEDED), event=held_event(rollout)
    ),
}
#: Those that complete a change in the cloud.
CLOSING = ("a step", "a rollback", "a rollback that owes the end of sessions")
MEANWHILE: dict[str, Callable[[SqlStore, Rollout], Any]] = {
    "nothing": lambda _, __: asyncio.sleep(0),
    "a command": lambda store, rollout: store.accept(
        Command(f"c-{rollout.id}", rollout.id, Verb.PAUSE, rollout.generation, NOON + timedelta(seconds=3), "ann")
    ),
    "a failure": lambda store, rollout: store.wake(rollout.id, NOON + timedelta(seconds=4)),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
async def test_a_plain_record_leaves_what_any_other_would(
    store: SqlStore, database_url: str, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    left: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for way in ("together", "apart"):
        if way == "apart":
            monkeypatch.setattr("foundry_rollouts.store.together.plain", lambda *_: None)
        begun_ = {case: await begun(store, f"agent-{way}-{number}") for number, case in enumerate(CASES)}
        for _, rollout in begun_.values():
            await MEANWHILE[meanwhile](store, rollout)
        for case in CLOSING:
            await store.open_intent(begun_[case][0], an_intent_of(begun_[case][1]))
        for _ in range(2):
            await asyncio.gather(
                *(
                    store.record(lease, CASES[case](at), an_intent_of(at) if case in CLOSING else None)
                    for case, (lease, at) in begun_.items()
                )
            )
        left[way] = {case: await rows(database_url, rollout.id) for case, (_, rollout) in begun_.items()}
    assert all(found["rollouts"] for found in left["together"].values())
    assert {case: str(found).replace("together", "apart") for case, found in left["together"].items()} == {
        case: str(found) for case, found in left["apart"].items()
    }


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_rollout_that_somebody_else_changes_is_written_behind_that(store: SqlStore, database_url: str) -> None:
    """Nobody waits for a lock who holds one already; the record comes as soon as the row is free."""
    (one, first), (two, second) = await many(store, 2)
    database = Database(database_url)
    async with database.writing() as connection:
        await connection.execute(tables.rollouts.update().where(tables.rollouts.c.id == first.id).values(generation=7))
        waits = asyncio.create_task(store.record(one, quiet(first)))
        await store.record(two, quiet(second))
        assert not waits.done()
    await waits
    await database.close()
    written = await store.rollout(first.id)
    assert (written.generation, written.because) == (7, "agent-0 is watched")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_evidence_that_stays_as_it_was_is_not_written_anew(store: SqlStore, database_url: str) -> None:
    ((lease, rollout),) = await many(store, 1)
    database = Database(database_url)
    versions: list[Any] = []
    for record in (quiet(rollout), quiet(rollout), quiet(rollout, evidence=Evidence(is_proved=True))):
        await store.record(lease, record)
        async with database.reading() as connection:
            versions.append((await connection.exec_driver_sql("SELECT xmin FROM evidence")).scalar_one())
    await database.close()
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize(
    "loud",
    [
        {"event": Event("e-2", NOON, "rollout.held", "agent-0", "look", "r-agent-0")},
        {"obeyed": ("c-1",)},
        {"stable": "7"},
    ],
)
async def test_what_is_news_waits_for_nobody_and_is_written_by_itself(store: SqlStore, loud: dict[str, Any]) -> None:
    ((lease, rollout),) = await many(store, 1)
    with counting(store) as tally:
        await store.record(lease, quiet(rollout, **loud))
    assert tally.commits == 1
    assert (await store.rollout(rollout.id)).because == "agent-0 is watched"


async def test_fifty_ways_back_are_opened_and_closed_in_a_few_statements(store: SqlStore) -> None:
    begun_ = await many(store)
    with counting(store) as tally:
        await asyncio.gather(*(store.open_intent(lease, an_intent_of(rollout)) for lease, rollout in begun_))
        assert tally == Tally(statements=2, commits=1)
        await asyncio.gather(
            *(
                store.record(lease, ended(rollout, Phase.ROLLED_BACK), an_intent_of(rollout))
                for lease, rollout in begun_
            )
        )
        assert tally == Tally(statements=10, commits=2)
    found = await asyncio.gather(*(store.standing(lease.agent) for lease, _ in begun_))
    assert not any(each.queue.in_hand or each.intent for each in found)
    assert {each.known.routing for each in found if each.known} == {an_intent().target}


async def test_an_intent_that_cannot_be_opened_is_refused_alone(store: SqlStore, open_store: OpenStore) -> None:
    begun_ = await many(store, 5)
    assert await open_store("replica-b").claim("agent-1", NOON + timedelta(hours=2))
    await store.open_intent(begun_[3][0], replace(an_intent_of(begun_[3][1]), id="another"))
    asked = [(lease, an_intent_of(rollout)) for lease, rollout in begun_]
    asked[4] = asked[4][0], replace(asked[4][1], opened_at=NOON.replace(tzinfo=None))
    answers = await asyncio.gather(*(store.open_intent(*each) for each in asked), return_exceptions=True)
    nothing = type(None)
    assert [type(each) for each in answers] == [nothing, LeaseLostError, nothing, ConflictError, ValueError]
    opened = [await store.intent(lease.agent) for lease, _ in begun_]
    assert [each.id if each else None for each in opened] == ["r-agent-0:2", None, "r-agent-2:2", "another", None]


async def test_an_intent_that_is_open_is_written_anew(store: SqlStore) -> None:
    ((lease, rollout),) = await many(store, 1)
    for replica in ("a", "b"):
        await store.open_intent(lease, replace(an_intent_of(rollout), settings=replica))
    written = await store.intent(lease.agent)
    assert written is not None
    assert written.settings == "b"


async def test_whoever_waits_behind_a_rollout_that_ends_begins_at_once(store: SqlStore) -> None:
    (lease, rollout), (other, lonely) = await many(store, 2)
    later = NOON + timedelta(minutes=5)
    behind = a_rollout(id="r-behind", agent=lease.agent, canary="3", created_at=later)
    await store.create(behind, an_event(id="behind", agent=lease.agent, rollout=behind.id), None)
    owing = Stops()
    await asyncio.gather(
        store.record(lease, ended(rollout, Phase.ROLLED_BACK, stops=owing)),
        store.record(other, ended(lonely, Phase.ROLLED_BACK, stops=owing)),
    )
    due = {each.agent for each in await store.claim_due(NOON + timedelta(seconds=1), 9)}
    assert due == {lease.agent}  # The sessions that are still to be stopped are not due yet.
    assert {each.agent for each in await store.claim_due(SOON, 9)} == {lease.agent, other.agent}


async def test_an_endpoint_that_a_way_back_closed_is_among_those_to_check(store: SqlStore) -> None:
    (one, first), (two, second) = await many(store, 2)
    for lease, rollout, is_open in ((one, first, False), (two, second, True)):
        intent = an_intent_of(rollout)
        closing = replace(intent, target=replace(intent.target, is_open=is_open))
        await store.open_intent(lease, closing)
        await store.record(lease, ended(rollout, Phase.DISABLED), closing)
    assert await store.agents_to_check() == [one.agent]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_agents_are_written_in_one_order_whatever_language_the_server_sorts_by(
    store: SqlStore, database_url: str
) -> None:
    """Two that lock the same rows in two orders wait for each other: hyphens come first or last by language."""
    begun_ = [await begun(store, name) for name in ("a-b", "aa", "A-c", "ab")]
    await store.see_agents([AgentKnown(lease.agent) for lease, _ in begun_], NOON)
    for lease, rollout in begun_:
        await store.open_intent(lease, an_intent_of(rollout))
    orders: list[list[str]] = []
    database = Database(database_url)
    async with database.writing() as connection:
        await connection.exec_driver_sql(
            "CREATE TABLE written (seq serial, name text);"
            "CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN INSERT INTO written (name) VALUES (NEW.name);"
            " RETURN NEW; END $$ LANGUAGE plpgsql;"
            "CREATE TRIGGER note BEFORE UPDATE ON agents FOR EACH ROW EXECUTE FUNCTION note()"
        )
    known = [AgentKnown(lease.agent) for lease, _ in begun_]
    for work in (
        lambda: store.see_agents(known, SOON, as_known=[each.name for each in known]),
        lambda: asyncio.gather(
            *(store.record(lease, ended(at, Phase.ROLLED_BACK), an_intent_of(at)) for lease, at in begun_)
        ),
    ):
        await work()
        async with database.writing() as connection:
            rows_ = await connection.exec_driver_sql("SELECT name FROM written ORDER BY seq")
            orders.append([row.name for row in rows_])
            await connection.exec_driver_sql("DELETE FROM written")
    await database.close()
    assert orders[1] == sorted(orders[1])
    assert sorted(orders[0]) == orders[1]


async def test_an_intent_does_not_wait_long_behind_others(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foundry_rollouts.store.ticks.QUEUE_LIMIT", timedelta(milliseconds=50))
    (one, first), (two, second) = await many(store, 2)
    silent, begun_group, serve = asyncio.Event(), asyncio.Event(), store._opened._serve

    async def behind_silence(asked: Any) -> Any:
        begun_group.set()
        await silent.wait()
        return await serve(asked)

    store._opened._serve = behind_silence
    stuck = asyncio.create_task(store.open_intent(one, an_intent_of(first)))
    try:
        await begun_group.wait()
        await store.open_intent(two, an_intent_of(second))
        assert await store.intent(two.agent) is not None
        assert not stuck.done()
    finally:
        silent.set()
    await stuck
    assert await store.intent(one.agent) is not None
