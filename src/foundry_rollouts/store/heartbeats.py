"""Heartbeats: which replicas are alive, by the clock of the database, so that their own need not agree."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Interval, delete, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.ports import Leased
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.leases import Holder
from foundry_rollouts.store.tables import UTCDateTime, leases, replicas

#: How long the heartbeat of a dead replica is kept for those who want to know when it was seen last.
KEPT_FOR = timedelta(days=1)

#: Returns the time of the database so long ago.
Clock = Callable[[AsyncConnection, timedelta], ColumnElement[datetime]]


def database_time(connection: AsyncConnection, ago: timedelta) -> ColumnElement[datetime]:
    """Return the time of the database so long ago, as a part of a statement."""
    if connection.dialect.name == "postgresql":
        return func.clock_timestamp(type_=UTCDateTime) - literal(ago, Interval)
    back = f"-{ago.total_seconds():.3f} seconds"
    return func.strftime("%Y-%m-%d %H:%M:%f000", "now", back, type_=UTCDateTime)


@dataclass(slots=True)
class HeartbeatBook:
    """What a replica writes of itself and reads of the others."""

    clock: Clock = database_time

    async def beat(self, connection: AsyncConnection, holder: Holder) -> Leased:
        """Write that the replica is alive, forget who died long ago, and return who is alive."""
        seen_at: Any = self.clock(connection, timedelta())
        ours = insert_into(connection, replicas).values(name=holder.replica, started_at=seen_at, seen_at=seen_at)
        await connection.execute(ours.on_conflict_do_update(index_elements=["name"], set_={"seen_at": seen_at}))
        await connection.execute(delete(replicas).where(replicas.c.seen_at < self.clock(connection, KEPT_FOR)))
        alive = select(replicas.c.name).where(replicas.c.seen_at > self.clock(connection, holder.lasts))
        live = frozenset(await connection.scalars(alive)) | {holder.replica}
        held = select(func.count()).select_from(leases).where(leases.c.replica.is_not(None))
        return Leased(holder.replica, live, await connection.scalar(held) or 0)

    async def leave(self, connection: AsyncConnection, holder: Holder) -> None:
        """Forget this replica."""
        await connection.execute(delete(replicas).where(replicas.c.name == holder.replica))


async def forget_all(connection: AsyncConnection) -> None:
    """Forget every replica: who calls this is the only one there is."""
    await connection.execute(delete(replicas))
