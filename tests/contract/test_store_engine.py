"""The way into the database: addresses, what goes wrong in one line, and no lost update on SQLite."""

import asyncio
import gc
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Pool, event, text

from builders import NOON, a_rollout, an_event
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import StoreError, UsageError
from foundry_rollouts.ports import RolloutFilter, Store
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore

OpenStore = Callable[[str], SqlStore]


def open_at(url: str) -> SqlStore:
    return SqlStore(url, replica="replica-a", lease=timedelta(seconds=30))


async def complaint(url: str) -> str:
    """Return the one line that the first use of a database ends with."""
    store = open_at(url)
    try:
        with pytest.raises(StoreError) as caught:
            await store.see_agents([], NOON)
    finally:
        await store.close()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_store_keeps_the_promises_of_its_port(store: SqlStore) -> None:
    promised: Store = store
    assert promised is store


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://host/name", "only sqlite:///path and postgresql://host/name"),
        ("postgresql+asyncpg://host/name", "only sqlite:///path and postgresql://host/name"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("nonsense", "write sqlite:///path or postgresql://host/name"),
    ],
)
def test_an_address_that_is_not_understood_is_refused_at_once(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_at(url)


async def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        Database(f"sqlite:///{tmp_path}/missing/history.db")
    told = str(refused.value)
    assert "missing/history.db: unable to open database file; check that" in told


async def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    assert "not a database" in await complaint(f"sqlite:///{tmp_path}/notes.txt")


async def test_a_server_that_is_not_there_is_told_in_one_line_without_the_password() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound but not listening: every connection is refused
        port = reserved.getsockname()[1]
        told = await complaint(f"postgresql://ann:hunter2@127.0.0.1:{port}/history")
    assert f"127.0.0.1:{port}/history" in told
    assert "refused" in told
    assert "hunter2" not in told


async def test_a_file_that_may_not_be_written_is_told_in_one_line(store: SqlStore, database_url: str) -> None:
    """A database that only reads stands in for the file's permissions, which do not bind the superuser."""
    database = Database(database_url)
    read_only = {"sqlite": "PRAGMA query_only=ON", "postgresql": "SET TRANSACTION READ ONLY"}

    async def write() -> None:
        async with database.writing() as connection:
            await connection.execute(text(read_only[connection.dialect.name]))
            await connection.execute(text("UPDATE agents SET policy = 'x'"))

    try:
        with pytest.raises(StoreError, match=r"read.?only"):
            await write()
    finally:
        await database.close()


async def test_a_write_that_is_cancelled_half_way_leaves_no_trace_and_no_lock(
    store: SqlStore, database_url: str, open_store: OpenStore
) -> None:
    await store.create(a_rollout(), an_event(), None)
    database, reached = Database(database_url), asyncio.Event()

    async def write_and_hang() -> None:
        async with database.writing() as connection:
            await connection.execute(text("UPDATE rollouts SET phase = 'failed'"))
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write_and_hang())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    accepted = await store.accept(Command("c-1", "r-1", Verb.ABORT, generation=1, at=NOON, author="ann"))
    assert accepted.phase is Phase.PENDING
    async with database.writing() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM commands")) == 1
    await database.close()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", ["reading", "writing"])
async def test_who_is_cancelled_at_any_moment_again_and_again_leaves_no_task_and_no_connection_behind(
    store: SqlStore, database_url: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As a browser cancels what is read for a page that it leaves: until the task has ended."""
    database, before = Database(database_url), asyncio.all_tasks()

    async def work() -> None:
        async with getattr(database, mode)() as connection:
            await connection.execute(text("SELECT count(*) FROM rollouts"))

    for moment in range(60):
        task = asyncio.create_task(work())
        for _ in range(moment % 20):
            await asyncio.sleep(0.0002)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        await database.close()
    gc.collect()
    assert asyncio.all_tasks() == before
    # PostgreSQL's driver closes a connection that it was cancelled in, and says so.
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_a_connection_that_was_being_opened_for_somebody_who_left_serves_the_next_one(
    store: SqlStore, database_url: str
) -> None:
    database, opened = Database(database_url), list[object]()

    def count(connection: object, _record: object) -> None:
        opened.append(connection)

    event.listen(Pool, "connect", count)
    try:
        task = asyncio.create_task(read(database))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await read(database)
        assert len(opened) == 1
    finally:
        event.remove(Pool, "connect", count)
        await database.close()


async def read(database: Database) -> None:
    async with database.reading() as connection:
        await connection.execute(text("SELECT count(*) FROM rollouts"))


async def test_readers_do_not_wait_for_a_writer(store: SqlStore, database_url: str) -> None:
    await store.create(a_rollout(), an_event(), None)
    database = Database(database_url)
    try:
        async with database.writing() as connection:
            await connection.execute(text("UPDATE rollouts SET phase = 'failed'"))
            assert (await store.counts())[Phase.PENDING] == 1
            assert len(await store.rollouts(RolloutFilter(phase=Phase.PENDING))) == 1
    finally:
        await database.close()


COUNT_UP = """
import asyncio, sys
from sqlalchemy import text
from foundry_rollouts.store.engine import Database

async def main(url, times):
    database = Database(url)
    for _ in range(times):
        async with database.writing() as connection:
            seen = await connection.scalar(text("SELECT fence FROM leases WHERE agent = 'counter'"))
            await connection.execute(
                text("UPDATE leases SET fence = :next WHERE agent = 'counter'"), {"next": seen + 1}
            )
    await database.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_processes_that_read_and_then_write_one_file_lose_no_update(database_url: str) -> None:
    database = Database(database_url)
    async with database.writing() as connection:
        await connection.execute(text("INSERT INTO leases (agent, fence) VALUES ('counter', 0)"))

    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", COUNT_UP, database_url, "100") for _ in range(3)
    ]
    ended = await asyncio.gather(*(process.wait() for process in processes))

    async with database.reading() as connection:
        counted = await connection.scalar(text("SELECT fence FROM leases WHERE agent = 'counter'"))
    await database.close()
    assert (ended, counted) == ([0, 0, 0], 300)


async def test_many_tasks_that_write_at_once_all_come_to_their_turn(store: SqlStore) -> None:
    leases = await asyncio.gather(*(store.claim(f"agent-{number}", NOON) for number in range(100)))
    assert all(leases)
