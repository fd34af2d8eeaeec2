"""The way into the database: one engine, and transactions to read and to write in.

Nothing of SQLAlchemy leaks out of a transaction: what the database refuses is a StoreError of one line.
"""

import asyncio
import importlib.util
import json
import os
import re
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import URL, Connection, Table, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from foundry_rollouts.errors import StoreError, UsageError
from foundry_rollouts.store.statements import trace_statements
from foundry_rollouts.store.whole import WholeConnection

#: How long a server may take over one transaction of ours; much less than a lease lasts.
TRANSACTION_LIMIT = timedelta(seconds=8)
#: How long the comparison of a whole schema may take: dozens of queries, on a machine that may be busy.
COMPARISON_LIMIT = timedelta(minutes=1)

#: How long SQLite waits for another process that writes.
BUSY_MILLISECONDS = 5000

#: Seconds to wait for a connection; milliseconds until a server that fell silent counts as gone.
_POSTGRESQL_TIMEOUTS = {"connect_timeout": 5, "tcp_user_timeout": 10_000}


def _from_json(text: str | bytes) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


#: Documents are read at every tick, and this takes a third of what the standard library takes. They are written by that
#: one, for queries over SQLite search the text as it writes it.
_JSON: dict[str, Any] = {"json_deserializer": _from_json}


class Database:
    """One database, opened by ``sqlite:///path`` or ``postgresql://...``; connects when first used.

    A transaction of a server may take ``limit``. Raises UsageError for an address that it does not understand.
    """

    def __init__(self, url: str, limit: timedelta = TRANSACTION_LIMIT) -> None:
        self._limit = limit
        address = _with_driver(url)
        self.name = address.set(drivername=address.get_backend_name()).render_as_string(hide_password=True)
        self._writers = _open_engine(address)
        self._readers = self._writers.execution_options(begin="DEFERRED")
        # Two tasks that wait for SQLite's one write lock would poll for it; so they queue up here.
        self._turn = asyncio.Lock() if address.get_backend_name() == "sqlite" else None
        self._shared = ContextVar[AsyncConnection | None]("shared", default=None)

    @asynccontextmanager
    async def reading(self, limit: timedelta | None = None) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads; on SQLite it waits for no writer. ``limit`` as in ``writing``."""
        if (shared := self._shared.get()) is not None:
            with _translated(self.name):
                yield shared
            return
        within = limit or self._limit
        with _translated(self.name):
            async with WholeConnection(self._readers) as connection, _watched(connection, within):
                yield connection

    @asynccontextmanager
    async def reading_at_once(self) -> AsyncIterator[None]:
        """Let everything that this task reads in the block be read in one transaction."""
        async with self.reading() as connection:
            before = self._shared.set(connection)
            try:
                yield
            finally:
                self._shared.reset(before)

    @asynccontextmanager
    async def writing(
        self, limit: timedelta | None = None, *, is_unlimited: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that is committed at the end, or leaves no trace when anything is raised.

        It fails with StoreError when a server does not bring it to its end within ``limit``; None: the database's own.
        """
        within = None if is_unlimited else limit or self._limit
        turn: AbstractAsyncContextManager[Any] = self._turn or nullcontext()
        with _translated(self.name):
            async with turn, WholeConnection(self._writers) as connection, _watched(connection, within):
                try:
                    yield connection
                except BaseException:
                    await connection.rollback()
                    raise
                await connection.commit()

    async def close(self) -> None:
        """Close every connection."""
        await self._writers.dispose()


@asynccontextmanager
async def _watched(connection: AsyncConnection, limit: timedelta | None) -> AsyncIterator[None]:
    """Cut a server's connection when its transaction takes longer than ``limit``.

    A server that fell silent is seen by nothing else: the network took what was sent, and an answer never comes. To
    cancel would not do, for the roll back that follows would wait for an answer as well.
    """
    if limit is None or connection.dialect.name != "postgresql":
        yield
        return
    fairy = await connection.get_raw_connection()
    watchdog = asyncio.get_running_loop().call_later(limit.total_seconds(), _cut, fairy.driver_connection)
    try:
        yield
    finally:
        watchdog.cancel()


def _cut(connection: Any) -> None:
    with suppress(OSError, DBAPIError, ValueError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def is_missing(url: str) -> bool:
    """Whether ``url`` names a file that is not there; to open it would make one."""
    address = _with_driver(url)
    return address.get_backend_name() == "sqlite" and not Path(address.database or "").exists()


def insert_into(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows ``on conflict``, in the words of the connection's dialect."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _with_driver(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise UsageError("the database address is no URL; write sqlite:///path or postgresql://host/name") from error
    match address.drivername:
        case "sqlite" if address.database not in {None, "", ":memory:"}:
            return address.set(drivername="sqlite+aiosqlite")
        case "sqlite":
            raise UsageError("the database must outlive this process: name a file, as sqlite:///path")
        case "postgresql" | "postgres" if importlib.util.find_spec("psycopg") is None:
            raise UsageError("PostgreSQL needs its driver: install foundry-rollouts[postgres]")
        case "postgresql" | "postgres":
            return address.set(drivername="postgresql+psycopg")
        case other:
            raise UsageError(f"database {other}: only sqlite:///path and postgresql://host/name are known")


def _open_engine(address: URL) -> AsyncEngine:
    if address.get_backend_name() == "postgresql":
        # No ping before use: it would wait for ever on a connection that fell silent. A dead one fails the first
        # transaction after a restart of the server, and all of its like are thrown away with it.
        server = create_async_engine(
            address, pool_recycle=300, pool_timeout=10, connect_args=_POSTGRESQL_TIMEOUTS, **_JSON
        )
        trace_statements(server.sync_engine)
        return server
    _refuse_unusable_file(address)
    engine = create_async_engine(address, **_JSON)
    trace_statements(engine.sync_engine)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _refuse_unusable_file(address: URL) -> None:
    """Raise StoreError for a file that cannot be opened: the driver's own thread would tell it less clearly."""
    try:
        sqlite3.connect(address.database or "").close()
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"database {address.database}: {error}; check that its folder is there and may be written"
        ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Left to itself the driver begins transactions late, and a read followed by a write loses updates.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_MILLISECONDS}", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'IMMEDIATE')}")


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"database {name}: {_first_line(error.orig)}; {_advice(error)}") from error
    except StatementError as error:
        # Not the database but a value that we handed in was wrong: that is a fault of ours, reported as it is.
        raise error.orig or error from None
    except PoolTimeoutError as error:
        raise StoreError(f"database {name}: {_first_line(error)}; try again later") from error


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _advice(error: DBAPIError) -> str:
    text = str(error.orig)
    if re.search(r'database ".*" does not exist', text):
        return "create it, then run: foundry-rollouts db upgrade"
    if re.search(r"no such (table|column)|(relation|column) .* does not exist", text):
        return "is its schema there? run: foundry-rollouts db upgrade"
    return "check that it is there, can be reached and may be written"
