"""The database of one measurement: made for it, asked how it grows and who holds what, and dropped again."""

import importlib.util
import json
import sqlite3
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

from foundry_rollouts.errors import UsageError
from foundry_rollouts.store.schema import upgrade

#: A good call of each version of some agents, written by the database itself: it is not what is measured.
_GOOD_CALLS: LiteralString = """
INSERT INTO outcomes (agent, id, version, at, received_at, latency_ms, has_log_error)
SELECT agent, CAST(gen_random_uuid() AS text), version, %(at)s, %(at)s, 120, false
FROM unnest(%(agents)s::text[]) AS agent CROSS JOIN unnest(%(versions)s::text[]) AS version
"""
_GOOD_CALLS_IN_A_FILE: LiteralString = """
INSERT INTO outcomes (agent, id, version, at, received_at, latency_ms, has_log_error)
SELECT agents.value, hex(randomblob(16)), versions.value, :at, :at, 120, false
FROM json_each(:agents) AS agents CROSS JOIN json_each(:versions) AS versions
"""
_HELD: LiteralString = "SELECT replica, count(*) FROM leases WHERE replica IS NOT NULL GROUP BY replica"


@dataclass(frozen=True, slots=True)
class Measured:
    """One database, beside the service that uses it."""

    url: str

    @property
    def is_server(self) -> bool:
        return not self.url.startswith("sqlite:")

    @property
    def kind(self) -> str:
        return "PostgreSQL" if self.is_server else "SQLite"

    async def held(self) -> dict[str, int]:
        """Return how many agents each replica holds."""
        if not self.is_server:
            with closing(sqlite3.connect(self._file, timeout=30)) as connection:
                return dict(connection.execute(_HELD).fetchall())
        return dict(await self._asked(_HELD))

    async def do(self, statement: LiteralString) -> None:
        """Change something for which the service has no way, as the whole of a table at once."""
        if not self.is_server:
            with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as file:
                file.execute(statement)
            return
        import psycopg

        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(statement)

    async def write_good_calls(self, agents: Sequence[str], versions: Sequence[str], at: datetime) -> None:
        """Write a good call of each version of each agent down, as if callers had reported it."""
        if not self.is_server:
            written = {"agents": json.dumps(agents), "versions": json.dumps(versions)}
            instant = at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
            with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as file:
                file.execute(_GOOD_CALLS_IN_A_FILE, {**written, "at": instant})
            return
        import psycopg

        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(
                _GOOD_CALLS, {"agents": list(agents), "versions": list(versions), "at": at}, prepare=False
            )

    async def size(self) -> int:
        """Return the bytes that it takes."""
        if not self.is_server:
            return sum(path.stat().st_size for path in Path(self._file).parent.glob(f"{Path(self._file).name}*"))
        return int((await self._asked("SELECT pg_database_size(current_database())"))[0][0])

    @property
    def _file(self) -> str:
        return self.url.removeprefix("sqlite:///")

    async def _asked(self, question: LiteralString) -> list[tuple[Any, ...]]:
        import psycopg

        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            return await (await connection.execute(question)).fetchall()


@asynccontextmanager
async def a_database(server: str | None, folder: Path) -> AsyncIterator[Measured]:
    """Yield an empty database of our schema: on ``server``, dropped at the end, or a file in ``folder``."""
    if server is None:
        measured = Measured(f"sqlite:///{folder / 'rollouts.db'}")
        await upgrade(measured.url)
        yield measured
        return
    _refuse_without_driver(server)
    name = f"foundry_rollouts_scale_{uuid.uuid4().hex[:12]}"
    await _tell(server, "CREATE DATABASE", name)
    try:
        measured = Measured(urlunsplit(urlsplit(server)._replace(path=f"/{name}")))
        await upgrade(measured.url)
        yield measured
    finally:
        await _tell(server, "DROP DATABASE", name, " WITH (FORCE)")


def _refuse_without_driver(server: str) -> None:
    if not server.startswith(("postgresql://", "postgres://")):
        raise UsageError(f"--database {server}: only postgresql://host/name is a server; leave it out for SQLite")
    if importlib.util.find_spec("psycopg") is None:
        raise UsageError("PostgreSQL needs its driver: install foundry-rollouts[postgres]")


async def _tell(server: str, what: LiteralString, name: str, more: LiteralString = "") -> None:
    import psycopg
    from psycopg import sql

    try:
        async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
            await connection.execute(sql.SQL(what + " {}" + more).format(sql.Identifier(name)))
    except psycopg.Error as error:
        words = str(error).strip().splitlines()
        raise UsageError(
            f"--database: {words[0] if words else error}; it takes a login that may make databases"
        ) from error
