"""The outbox: messages that ``history`` left with their events and that are not yet sent.

A claimed message is one whose due time lies ahead: who took it and died has thereby left it to others. The messages of
one rollout go one after the other, so only the oldest of each lane can be taken.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.ports import Backlog, Message
from foundry_rollouts.store import history
from foundry_rollouts.store.tables import events, outbox

_WAITS = outbox.c.given_up_at.is_(None)


async def backlog(connection: AsyncConnection) -> Backlog:
    """Return how many messages wait, and since when."""
    query = select(func.count().label("pending"), func.min(events.c.at).label("oldest"))
    row = (await connection.execute(query.select_from(outbox.join(events)).where(_WAITS))).one()
    return Backlog(row.pending, row.oldest)


async def take(connection: AsyncConnection, now: datetime, limit: int, until: datetime) -> Sequence[Message]:
    """Claim the oldest message of each lane, where it is due; the oldest first."""
    first = select(func.min(outbox.c.event)).where(_WAITS).group_by(outbox.c.lane)
    # What another replica is about to take is skipped, not waited for. SQLite has one writer and needs no lock.
    chosen = await connection.execute(
        select(events, outbox.c.attempts)
        .join(outbox)
        .where(outbox.c.event.in_(first), _WAITS, _is_due(now))
        .order_by(outbox.c.event)
        .limit(limit)
        .with_for_update(of=outbox, skip_locked=True)
    )
    taken = [Message(row.seq, history.event_of(row), row.attempts + 1) for row in chosen]
    await connection.execute(
        update(outbox)
        .where(outbox.c.event.in_([message.number for message in taken]))
        .values(due_at=until, attempts=outbox.c.attempts + 1)
    )
    return taken


async def forget(connection: AsyncConnection, message: Message) -> None:
    """Remove a message that was delivered, whoever holds it by now."""
    await connection.execute(delete(outbox).where(outbox.c.event == message.number))


async def postpone(connection: AsyncConnection, message: Message, due_at: datetime, because: str) -> None:
    """Put a message back unless others claimed it."""
    await connection.execute(update(outbox).where(_is_ours(message)).values(due_at=due_at, trouble=because))


async def give_up(connection: AsyncConnection, message: Message, now: datetime, because: str) -> None:
    """Mark a message as given up, unless others claimed it."""
    await connection.execute(update(outbox).where(_is_ours(message)).values(given_up_at=now, trouble=because))


async def retire(connection: AsyncConnection, before: datetime, now: datetime, because: str) -> int:
    """Give up what waits, is in nobody's hand, and happened before that time; return how many."""
    old = select(events.c.seq).where(events.c.at < before)
    retired = await connection.execute(
        update(outbox).where(_WAITS, _is_due(now), outbox.c.event.in_(old)).values(given_up_at=now, trouble=because)
    )
    return retired.rowcount


async def free_all(connection: AsyncConnection) -> None:
    """Let every message be due: who calls this is the only replica there is."""
    await connection.execute(update(outbox).where(_WAITS).values(due_at=None))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return or_(outbox.c.due_at.is_(None), outbox.c.due_at <= now)


def _is_ours(message: Message) -> ColumnElement[bool]:
    """Whoever takes a message counts on, so the number of attempts tells who was last."""
    return and_(outbox.c.event == message.number, outbox.c.attempts == message.attempts, _WAITS)
