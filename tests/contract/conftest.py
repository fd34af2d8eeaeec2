"""The store under examination: the same one over SQLite and over PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from databases import (
    a_postgresql_database,
    a_postgresql_server,
    a_postgresql_template,
    a_sqlite_database,
    a_sqlite_template,
)
from foundry_rollouts.store.store import SqlStore

OpenStore = Callable[[str], SqlStore]


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
    """Yield a way to open the database as a replica of some name."""
    opened: list[SqlStore] = []

    def open_as(replica: str) -> SqlStore:
        opened.append(SqlStore(database_url, replica=replica, lease=timedelta(seconds=30)))
        return opened[-1]

    yield open_as
    for store in opened:
        await store.close()


@pytest.fixture
def store(open_store: OpenStore) -> SqlStore:
    """Return the store of ``replica-a``, whose leases last 30 seconds."""
    return open_store("replica-a")
