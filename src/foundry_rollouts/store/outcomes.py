"""What callers report of their calls; each is kept for a day, which is longer than any window reaches back."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, and_, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.ports import Outcome, Reports
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.tables import outcomes

KEPT = timedelta(days=1)
PER_QUERY = 1000  #: Sessions that are asked for in one query.


async def add(connection: AsyncConnection, reported: Sequence[Outcome]) -> Sequence[Outcome]:
    """Add the outcomes whose ids are new for their agents, and return those; old ones are taken away."""
    if not reported:
        return ()
    rows = [_row(outcome) for outcome in reported]
    insert = insert_into(connection, outcomes).values(rows).on_conflict_do_nothing()
    added = {(row.agent, row.id) for row in await connection.execute(insert.returning(outcomes.c.agent, outcomes.c.id))}
    latest = max(outcome.received_at for outcome in reported)
    await connection.execute(delete(outcomes).where(outcomes.c.received_at < latest - KEPT))
    return [first for first in _firsts(reported) if (first.agent, first.id) in added]


async def received(connection: AsyncConnection, which: Reports) -> Sequence[Outcome]:
    """Return the outcomes that ``which`` names, in the order in which they came."""
    earlier = outcomes.alias("earlier")
    is_of_old_session = exists().where(
        and_(
            earlier.c.agent == outcomes.c.agent,
            earlier.c.session == outcomes.c.session,
            earlier.c.at < which.sessions_since,
        )
    )
    query = select(outcomes).where(
        outcomes.c.agent == which.agent,
        outcomes.c.received_at >= which.received_from,
        outcomes.c.received_at < which.received_until,
        ~is_of_old_session,
    )
    return [_outcome(row) for row in await connection.execute(query.order_by(outcomes.c.received_at, outcomes.c.id))]


async def old_sessions(
    connection: AsyncConnection, agent: str, sessions: Sequence[str], since: datetime
) -> Sequence[str]:
    """Return those of ``sessions`` in which a call began before ``since``."""
    found: list[str] = []
    for at in range(0, len(sessions), PER_QUERY):
        wanted = outcomes.c.session.in_(sessions[at : at + PER_QUERY])
        is_old = and_(outcomes.c.agent == agent, wanted, outcomes.c.at < since)
        found += map(str, await connection.scalars(select(outcomes.c.session).where(is_old).distinct()))
    return found


def _firsts(reported: Sequence[Outcome]) -> Sequence[Outcome]:
    return list({(outcome.agent, outcome.id): outcome for outcome in reversed(reported)}.values())


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "agent": outcome.agent,
        "id": outcome.id,
        "version": outcome.version,
        "at": outcome.at,
        "received_at": outcome.received_at,
        "cause": outcome.cause,
        "latency_ms": None if outcome.latency is None else outcome.latency / timedelta(milliseconds=1),
        "session": outcome.session,
        "has_log_error": outcome.has_log_error,
    }


def _outcome(row: Row[tuple[object, ...]]) -> Outcome:
    return Outcome(
        id=row.id,
        agent=row.agent,
        version=row.version,
        at=row.at,
        received_at=row.received_at,
        cause=row.cause,
        latency=None if row.latency_ms is None else timedelta(milliseconds=row.latency_ms),
        session=row.session,
        has_log_error=row.has_log_error,
    )
