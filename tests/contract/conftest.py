"""What is under examination: the local Foundry, and the same store over SQLite and over PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from builders import NOON, an_event
from contract.callers import Callers
from databases import (
    a_postgresql_database,
    a_postgresql_server,
    a_postgresql_template,
    a_sqlite_database,
    a_sqlite_template,
)
from emulated import a_project
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore


def nobody() -> None:
    """Ring at nobody: tests look for themselves."""


OpenStore = Callable[[str], SqlStore]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Serve a local Foundry, whose versions become active at once, for the tests of one module."""
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), seed=3)) as url:
        yield url


@pytest.fixture
def cloud(base_url: str) -> Iterator[httpx.Client]:
    """Give a client of a project nobody else has."""
    with a_project(base_url) as client:
        yield client


@pytest.fixture(scope="session")
def postgresql(testrun_uid: str) -> Iterator[str]:
    with a_postgresql_server(testrun_uid) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql: str) -> str:
    return a_postgresql_template(postgresql)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_sqlite_template(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the address of an empty database of our schema."""
    if request.param == "sqlite":
        yield a_sqlite_database(tmp_path, request.getfixturevalue("sqlite_template"))
        return
    server = request.getfixturevalue("postgresql")
    with a_postgresql_database(server, request.getfixturevalue("postgresql_template")) as url:
        yield url


@pytest.fixture
async def open_store(database_url: str) -> AsyncIterator[OpenStore]:
    """Yield a way to open the database as a replica of some name; every event leaves a message."""
    opened: list[SqlStore] = []

    def open_as(replica: str) -> SqlStore:
        opened.append(
            SqlStore(
                database_url,
                replica=replica,
                lease=timedelta(seconds=30),
                on_message=nobody,
                limit=timedelta(minutes=2),
            )
        )
        return opened[-1]

    yield open_as
    for store in opened:
        await store.close()


@pytest.fixture
def store(open_store: OpenStore) -> SqlStore:
    """Return the store of ``replica-a``, whose leases last 30 seconds."""
    return open_store("replica-a")


@pytest.fixture
async def callers(store: SqlStore) -> AsyncIterator[Callers]:
    callers = Callers(store)
    await store.create(replace(callers.rollout, step=0, phase=Phase.PENDING), an_event(), None)
    lease = await store.claim("support-agent", NOON)
    assert lease
    await store.record(lease, Record(rollout=callers.rollout, due_at=NOON + timedelta(hours=1)))
    await store.release(lease)
    yield callers
    await callers.client.aclose()
