"""Leases: which replica may act on which agent, and until when.

A lease carries a fence, a number that grows with every grant. A write with an old fence is refused,
so a replica that slept through its lease can do no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    case,
    func,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.errors import LeaseLostError
from foundry_rollouts.ports import Due, Lease
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.many import among
from foundry_rollouts.store.tables import intents, leases, rollouts

#: How many agents that are due are read at once; what is free comes first.
MOST_DUE = 2_000


@dataclass(frozen=True, slots=True)
class Holder:
    """The replica that leases are granted to, and for how long."""

    replica: str
    lasts: timedelta


async def due(
    connection: AsyncConnection, holder: Holder, now: datetime, busy: Sequence[str], limit: int
) -> Sequence[Due]:
    """Return at most ``limit`` agents that are due, not ``busy`` and of no other replica, those that are free first."""
    values = {"now": now, "replica": holder.replica, "busy": list(busy), "most": limit}
    rows = await connection.execute(_DUE, values)
    return [Due(row.agent, row.since, row.replica) for row in rows]


async def free_ones(connection: AsyncConnection, now: datetime, limit: int) -> Sequence[Due]:
    """Return at most ``limit`` agents with unfinished rollouts that no replica holds, whenever they are due."""
    rows = await connection.execute(_FREE, {"now": now, "most": limit})
    return [Due(row.agent, row.since, row.replica) for row in rows]


async def claim_due(
    connection: AsyncConnection, holder: Holder, now: datetime, wanted: Sequence[Due]
) -> Sequence[Lease]:
    """Grant the leases of those of ``wanted`` that are still free."""
    since = {each.agent: each.since for each in wanted}
    if not since:
        return []
    # What another replica is about to take is skipped, not waited for. SQLite has one writer and needs no lock.
    free = select(leases.c.agent).where(leases.c.agent.in_(since), _is_free_for(holder.replica, now))
    unlocked = list(await connection.scalars(free.with_for_update(skip_locked=True)))
    granted = await _grant(connection, holder, now, leases.c.agent.in_(unlocked)) if unlocked else ()
    found = [replace(lease, due_at=since[lease.agent]) for lease in granted]
    return sorted(found, key=lambda lease: (since[lease.agent], lease.agent))


async def claim(connection: AsyncConnection, holder: Holder, now: datetime, agent: str) -> Lease | None:
    """Grant the lease of ``agent`` unless another replica holds it."""
    await register(connection, agent)
    granted = await _grant(connection, holder, now, leases.c.agent == agent)
    return granted[0] if granted else None


async def register(connection: AsyncConnection, agent: str) -> None:
    """Make sure that there is a lease to be claimed for ``agent``."""
    await connection.execute(insert_into(connection, leases).values(agent=agent, fence=0).on_conflict_do_nothing())


async def renew(connection: AsyncConnection, holder: Holder, held: Sequence[Lease], now: datetime) -> Sequence[Lease]:
    """Prolong those of ``held`` that nobody else was granted since."""
    agents, until = set(await _still_held(connection, held)), now + holder.lasts
    if agents:
        await connection.execute(_RENEW, {"agents": sorted(agents), "until_then": until})
    return [replace(lease, until=until) for lease in held if lease.agent in agents]


async def free_all(connection: AsyncConnection) -> None:
    """Free every lease: who calls this is the only replica there is."""
    await connection.execute(update(leases).values(replica=None, until=None))


async def free(connection: AsyncConnection, holder: Holder, busy: Sequence[str]) -> tuple[Sequence[str], bool]:
    """Free the leases of ``holder`` but those of ``busy``; return their agents, and whether none was left out."""
    ours = (leases.c.replica == holder.replica, leases.c.agent.not_in(busy))
    # A row that a transaction in trouble still has locked is no reason to keep the others.
    unlocked = select(leases.c.agent).where(*ours).with_for_update(skip_locked=True)
    agents = list(await connection.scalars(unlocked))
    if agents:
        freed = update(leases).where(*ours, leases.c.agent.in_(agents)).values(replica=None, until=None)
        await connection.execute(freed)
    return agents, not await connection.scalar(select(func.count()).select_from(leases).where(*ours))


async def free_some(connection: AsyncConnection, held: Sequence[Lease]) -> Sequence[str]:
    """Free those of ``held`` that nobody else was granted since; return their agents."""
    agents = await _still_held(connection, held)
    if agents:
        await connection.execute(_FREE_SOME, {"agents": agents})
    return agents


async def _still_held(connection: AsyncConnection, held: Sequence[Lease]) -> Sequence[str]:
    """Return the agents of those of ``held`` that nobody else was granted since; nobody can take them before we commit.

    They are locked by the order of their names, so that two who lock the same ones cannot wait for each other.
    """
    if not held:
        return ()
    fences = {lease.agent: (lease.fence, lease.replica) for lease in held}
    rows = await connection.execute(_LOCKED, {"agents": list(fences)})
    return [row.agent for row in rows if fences[row.agent] == (row.fence, row.replica)]


async def require(connection: AsyncConnection, lease: Lease) -> None:
    """Raise LeaseLostError unless ``lease`` is the newest of its agent; nobody can take it before we commit."""
    newest = (
        await connection.execute(
            select(leases.c.fence, leases.c.replica).where(leases.c.agent == lease.agent).with_for_update()
        )
    ).one_or_none()
    if newest is None or (newest.fence, newest.replica) != (lease.fence, lease.replica):
        holder = newest.replica if newest and newest.replica else "nobody"
        raise LeaseLostError(
            f"replica {lease.replica} no longer holds the lease of agent {lease.agent} (fence {lease.fence});"
            f" {holder} does"
        )


async def _grant(
    connection: AsyncConnection, holder: Holder, now: datetime, which: ColumnElement[bool]
) -> Sequence[Lease]:
    change = {"replica": holder.replica, "until": now + holder.lasts, "fence": leases.c.fence + 1}
    return await _changed(connection, change, which, _is_free_for(holder.replica, now))


async def _changed(
    connection: AsyncConnection, change: dict[str, object], *which: ColumnElement[bool]
) -> Sequence[Lease]:
    rows = await connection.execute(
        update(leases)
        .where(*which)
        .values(change)
        .returning(leases.c.agent, leases.c.replica, leases.c.fence, leases.c.until)
    )
    return [Lease(row.agent, row.replica, row.fence, row.until) for row in rows]


def _is_free_for(replica: str | BindParameter[str], now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    return or_(leases.c.replica.is_(None), leases.c.until <= now, leases.c.replica == replica)


def _due() -> Select[tuple[str, str | None, datetime]]:
    """Return the question who is due; it is asked every second, and to put it together takes longer than to ask."""
    now, replica = bindparam("now", type_=leases.c.until.type), bindparam("replica", type_=leases.c.replica.type)
    waiting = union_all(
        select(rollouts.c.agent, rollouts.c.due_at.label("since")).where(rollouts.c.due_at <= now),
        select(intents.c.agent, intents.c.opened_at.label("since")),
    ).subquery()
    due = select(waiting.c.agent, func.min(waiting.c.since).label("since")).group_by(waiting.c.agent).subquery()
    is_ours = case((leases.c.replica == replica, 1), else_=0)
    return (
        select(leases.c.agent, leases.c.replica, due.c.since)
        .join(due, due.c.agent == leases.c.agent)
        .where(_is_free_for(replica, now), leases.c.agent.not_in(bindparam("busy", expanding=True)))
        .order_by(is_ours, due.c.since, leases.c.agent)
        .limit(bindparam("most", type_=Integer))
    )


def _free() -> Select[tuple[str, str | None, datetime]]:
    """Return the question which agents are left without a replica; put together once, as the one above."""
    now = bindparam("now", type_=leases.c.until.type)
    since = func.min(rollouts.c.due_at)
    return (
        select(leases.c.agent, leases.c.replica, since.label("since"))
        .join(rollouts, rollouts.c.agent == leases.c.agent)
        .where(or_(leases.c.replica.is_(None), leases.c.until <= now), rollouts.c.due_at.is_not(None))
        .group_by(leases.c.agent, leases.c.replica)
        .order_by(since, leases.c.agent)
        .limit(bindparam("most", type_=Integer))
    )


_DUE, _FREE = _due(), _free()
_LOCKED = (
    select(leases.c.agent, leases.c.fence, leases.c.replica)
    .where(among(leases.c.agent, "agents"))
    .order_by(leases.c.agent)
    .with_for_update()
)
_RENEW = update(leases).where(among(leases.c.agent, "agents")).values(until=bindparam("until_then"))
_FREE_SOME = update(leases).where(among(leases.c.agent, "agents")).values(replica=None, until=None)
