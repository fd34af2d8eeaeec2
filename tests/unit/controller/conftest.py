"""A small world over the real store, on SQLite."""

from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import pytest

from databases import a_sqlite_database, a_sqlite_template
from fakes import nobody
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore
from in_the_loop import without_threads
from small_world import LEASE, SmallWorld


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_sqlite_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
async def world(tmp_path: Path, template: Path) -> AsyncIterator[SmallWorld]:
    url = a_sqlite_database(tmp_path, template)
    database = Database(url)
    without_threads(database)

    @cache
    def open_as(replica: str) -> SqlStore:
        store = SqlStore(url, replica=replica, lease=LEASE, on_message=nobody)
        # Replicas come by the dozen, and each would open connections and compile every statement anew.
        store._database = database
        return store

    yield SmallWorld(open_as)
    await database.close()
