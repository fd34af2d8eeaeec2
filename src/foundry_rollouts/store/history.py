"""The history: events, append only; the database itself refuses to change or delete one.

Whoever adds an event says who is there to hear of it, and what is to be sent is written with it: neither is ever
there without the other.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.ports.outbox import Audience
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.notice_tables import news
from foundry_rollouts.store.tables import events, outbox
from foundry_rollouts.untrusted import clean

#: What an event says of its rollout; NULL in those of an agent, and in those of releases that did not write it.
ABOUT = ("canary", "stable", "policy", "policy_hash", "phase", "waits_for")


async def append(connection: AsyncConnection, *new: Event, audience: Audience) -> None:
    """Add events, and what is to be sent of each to whoever is there; the same fact is not sent twice."""
    if not new:
        return
    added = (
        insert_into(connection, events)
        .on_conflict_do_nothing(index_elements=[events.c.id])
        .returning(events.c.seq, events.c.rollout, events.c.agent)
    )
    rows = (await connection.execute(added, [_row(event) for event in new])).all()
    if rows and Audience.RECEIVER in audience:
        sent = [{"event": row.seq, "lane": row.rollout or row.agent, "attempts": 0} for row in rows]
        await connection.execute(insert(outbox), sent)
    if rows and Audience.TARGETS in audience:
        await connection.execute(insert(news), [{"event": row.seq} for row in rows])


def _row(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": event.at,
        "kind": event.kind,
        "agent": event.agent,
        "rollout": event.rollout,
        "because": clean(event.because),
        "step": event.step,
        "weights": event.weights,
        "author": event.author,
        **{name: getattr(event, name) for name in ABOUT},
    }


async def of_rollout(
    connection: AsyncConnection, rollout: str, after: str | None, limit: int | None
) -> Sequence[Event]:
    """Return events of ``rollout`` behind the event ``after``; NotFoundError when there is no such event."""
    query = select(events).where(events.c.rollout == rollout).order_by(events.c.seq).limit(limit)
    if after is not None:
        seq = await connection.scalar(select(events.c.seq).where(events.c.id == after, events.c.rollout == rollout))
        if seq is None:
            raise NotFoundError(f"rollout {rollout} has no event {after}: ask for its history from the start")
        query = query.where(events.c.seq > seq)
    return [event_of(row) for row in await connection.execute(query)]


async def behind(connection: AsyncConnection, number: int, limit: int) -> Sequence[tuple[int, Event]]:
    """Return events of all agents behind the one of that number, oldest first, each with its number."""
    query = select(events).where(events.c.seq > number).order_by(events.c.seq).limit(limit)
    return [(row.seq, event_of(row)) for row in await connection.execute(query)]


async def number_of(connection: AsyncConnection, event: str | None) -> int:
    """Return the number of an event, or of the newest one; NotFoundError when there is no such event."""
    if event is None:
        return await connection.scalar(select(func.max(events.c.seq))) or 0
    number: int | None = await connection.scalar(select(events.c.seq).where(events.c.id == event))
    if number is None:
        raise NotFoundError(f"there is no event {event}: begin without one")
    return number


def event_of(row: Row[Any]) -> Event:
    """Return the event that a row of the history holds."""
    return Event(
        id=row.id,
        at=row.at,
        kind=row.kind,
        agent=row.agent,
        because=row.because,
        rollout=row.rollout,
        step=row.step,
        weights=row.weights,
        author=row.author,
        **{name: getattr(row, name) for name in ABOUT},
    )
