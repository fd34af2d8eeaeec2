"""Wake-ups: what became due before its time wakes the replica that owns it, so that reaction time is not the tick.

PostgreSQL carries them with NOTIFY, after the commit and on a connection of its own: inside the transaction it would
let every write of the database wait for one lock. SQLite has one replica, which wakes for itself.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import make_url

from foundry_rollouts.ports import HeardHere

if TYPE_CHECKING:
    import psycopg

log = structlog.get_logger()

CHANNEL = "foundry_rollouts"
#: How long to wait before a lost connection is opened again; the sweep finds what was missed meanwhile.
RECONNECT_SECONDS = 1.0
#: The pause between two rings: ten a second, however much becomes due.
REST_SECONDS = 0.1
#: How long what is still to be rung may take when the store is closed.
LAST_RING_SECONDS = 1.0
#: What one ring carries at most, in bytes: PostgreSQL takes 8 000.
MOST_BYTES = 7_500
SEPARATOR = "\n"
#: More names than fit into so many rings are not named: everybody checks everything.
MOST_RINGS = 50

#: Takes the agents that became due; none: any may have.
Heard = Callable[[Sequence[str]], None]


class Bell:
    """Rings at every replica, at most ten times a second; to ring returns at once, and never fails.

    Where this process is a replica, ``here`` hears first, and the others of what is not its own.
    """

    here: HeardHere | None = None

    def __init__(self, url: str) -> None:
        self._conninfo = conninfo_of(url)
        self._names: dict[str, None] = {}
        self._is_for_all = False
        self._rung, self._silent = asyncio.Event(), asyncio.Event()
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, *agents: str) -> None:
        """Name ``agents`` that became due; call it once that is committed."""
        self.ring_for_others(*(self.here(agents) if self.here is not None and agents else agents))

    def ring_for_others(self, *agents: str) -> None:
        """Name ``agents`` that became due, and that this process has just let go."""
        if agents:
            self._names.update(dict.fromkeys(agents))
            self._begin()

    def ring_for_all(self) -> None:
        """Let everybody check who is alive, and what is due."""
        self._is_for_all = True
        self._begin()

    async def close(self) -> None:
        """Ring what is still to be rung, and close the connection."""
        if self._ringing is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_RING_SECONDS):
                await self._silent.wait()
        self._ringing.cancel()
        await asyncio.wait({self._ringing})
        self._ringing = None

    def _begin(self) -> None:
        if self._conninfo is None:
            return
        self._rung.set()
        self._silent.clear()
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring(self._conninfo), name="ring")

    async def _ring(self, conninfo: str) -> None:
        import psycopg

        while True:
            # What could not be rung is rung by the next connection; until then sweeps find it.
            with suppress(psycopg.Error):
                async with await _connected(conninfo) as connection:
                    while await self._rung.wait():
                        await self._ring_once(connection)
                        await asyncio.sleep(REST_SECONDS)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _ring_once(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        names, is_for_all = list(self._names), self._is_for_all
        payloads = [""] if is_for_all else list(payloads_of(names))
        await connection.execute("SELECT pg_notify(%s, each) FROM unnest(%s::text[]) AS each", (CHANNEL, payloads))
        for name in names:
            self._names.pop(name, None)
        self._is_for_all = self._is_for_all and not is_for_all
        if not self._names and not self._is_for_all:
            self._rung.clear()
            self._silent.set()


def payloads_of(names: Sequence[str]) -> Iterator[str]:
    """Yield what rings for ``names``, as few rings as they fit into; an empty one where they are too many."""
    ring, size, rings = list[str](), 0, list[str]()
    for name in names:
        length = len(name.encode("utf-8", "replace")) + 1
        if length > MOST_BYTES or not name.isprintable() or len(rings) == MOST_RINGS:
            yield ""  # Whatever does not fit is found by who checks everything.
            return
        if size + length > MOST_BYTES:
            rings.append(SEPARATOR.join(ring))
            ring, size = [], 0
        ring.append(name)
        size += length
    yield from rings
    if ring:
        yield SEPARATOR.join(ring)


async def listen(url: str, hear: Heard) -> None:
    """Call ``hear`` whenever another replica made something due, until cancelled; returns at once on SQLite.

    It calls once for each connection, too, as soon as that listens: what came before was for nobody.
    """
    conninfo = conninfo_of(url)
    if conninfo is None:
        return
    import psycopg

    is_lost = False
    while True:
        with suppress(psycopg.Error):
            async with await _connected(conninfo) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                if is_lost:
                    log.info("wakeups.found")
                is_lost = False
                hear(())
                async for rung in connection.notifies():
                    hear(tuple(rung.payload.split(SEPARATOR)) if rung.payload else ())
        if not is_lost:
            log.warning("wakeups.lost", because="the connection ended; the sweep checks every second meanwhile")
        is_lost = True
        await asyncio.sleep(RECONNECT_SECONDS)


def conninfo_of(url: str) -> str | None:
    """Return how the driver reaches a server; None for an embedded database, where there is nobody to ring at."""
    address = make_url(url)
    if address.get_backend_name() not in {"postgresql", "postgres"}:
        return None
    return address.set(drivername="postgresql").render_as_string(hide_password=False)


async def _connected(conninfo: str) -> "psycopg.AsyncConnection[Any]":
    import psycopg

    return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, connect_timeout=5)
