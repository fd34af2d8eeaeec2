"""Wake-ups: what became due before its time wakes every replica, so that reaction time is not the tick.

PostgreSQL carries them with NOTIFY, in the transaction that made something due. SQLite has one replica, which wakes
for itself.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

log = structlog.get_logger()

CHANNEL = "foundry_rollouts"
#: How long to wait before a lost connection is opened again; the sweep finds what was missed meanwhile.
RECONNECT_SECONDS = 1.0


async def notify(connection: AsyncConnection) -> None:
    """Ring at every replica once this transaction is committed."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"NOTIFY {CHANNEL}"))


async def listen(url: str, wake: Callable[[], None]) -> None:
    """Call ``wake`` whenever another replica made something due, until cancelled; returns at once on SQLite.

    It calls once for each connection, too, as soon as that listens: what came before was for nobody.
    """
    address = make_url(url)
    if address.get_backend_name() != "postgresql":
        return
    import psycopg

    conninfo = address.set(drivername="postgresql").render_as_string(hide_password=False)
    is_lost = False
    while True:
        with suppress(psycopg.Error):
            async with await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, connect_timeout=5
            ) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                if is_lost:
                    log.info("wakeups.found")
                is_lost = False
                wake()
                async for _ in connection.notifies():
                    wake()
        if not is_lost:
            log.warning("wakeups.lost", because="the connection ended; the sweep checks every second meanwhile")
        is_lost = True
        await asyncio.sleep(RECONNECT_SECONDS)
