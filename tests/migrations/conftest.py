"""Databases without any table, on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import a_postgresql_database, a_postgresql_server


@pytest.fixture(scope="session")
def server(testrun_uid: str) -> Iterator[str]:
    with a_postgresql_server(testrun_uid) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the address of a database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/history.db"
        return
    with a_postgresql_database(request.getfixturevalue("server")) as url:
        yield url
