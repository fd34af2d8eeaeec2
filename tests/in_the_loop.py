"""SQLite without threads, for unit tests: each statement runs in the thread of the event loop.

The driver of the product has a thread for each connection, and two switches between threads for each statement take
much longer than the statement. What tests of the controller and of the web ask for does not depend on that. The driver
itself is examined by ``tests/contract``, ``tests/migrations`` and the scenarios.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Dialect, event

from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore

#: The dialect of the first database that was connected to, and the statements that were compiled for it: to compile
#: one takes longer than to run it, and each engine would compile all of them anew.
_DIALECTS: list[Dialect] = []
_COMPILED: dict[Any, Any] = {}


def without_threads(opened: Database | SqlStore) -> None:
    """Let a database that nobody connected to yet run its statements in the thread of the loop."""
    database = opened._database if isinstance(opened, SqlStore) else opened
    engine = database._writers.sync_engine
    event.listen(engine, "do_connect", _connect_here)
    if not _DIALECTS:
        event.listen(engine, "engine_connect", _keep_dialect, once=True)
        return
    for each in (engine, database._readers.sync_engine):
        each.dialect = _DIALECTS[0]
        each.update_execution_options(compiled_cache=_COMPILED)


def _keep_dialect(connection: Connection) -> None:
    _DIALECTS[:] = [connection.dialect]


def _connect_here(_dialect: Any, _record: Any, _args: list[Any], options: dict[str, Any]) -> None:
    options["async_creator_fn"] = _opened


async def _opened(path: str, **options: Any) -> "_Connection":
    connection = sqlite3.connect(path, **options)
    # No test of this kind outlives a machine that loses its power.
    connection.execute("PRAGMA synchronous=OFF")
    return _Connection(connection)


class _Cursor:
    """A cursor with the methods of the driver's."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    async def __aenter__(self) -> "_Cursor":
        return self

    async def execute(self, statement: str, values: Any = ()) -> "_Cursor":
        if statement.startswith("BEGIN"):
            # Other tasks have their turn at each transaction, as they have when it waits for a thread.
            await asyncio.sleep(0)
        self._cursor.execute(statement, values)
        return self

    async def executemany(self, statement: str, values: Any) -> "_Cursor":
        self._cursor.executemany(statement, values)
        return self

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class _Connection:
    """A connection with the methods of the driver's, and the private parts of it that SQLAlchemy uses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._conn = connection
        self._connection: sqlite3.Connection | None = connection  # None: it is closed.
        self._tx = self

    def put_nowait(self, work: tuple[asyncio.Future[Any], Callable[[], Any]]) -> None:
        """Do at once what the driver would queue for its thread."""
        future, function = work
        future.set_result(function())

    def cursor(self) -> _Cursor:
        return _Cursor(self._conn.cursor())

    async def create_function(self, *args: Any, **options: Any) -> None:
        self._conn.create_function(*args, **options)

    async def commit(self) -> None:
        self._conn.commit()

    async def rollback(self) -> None:
        self._conn.rollback()

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        self._conn.close()
        self._connection = None
