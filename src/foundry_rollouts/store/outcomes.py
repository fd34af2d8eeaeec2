"""What callers report of their calls; each is kept for a day, which is longer than any window reaches back."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Row, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.ports import Outcome, Reports
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.many import AnyRow, among, by_agent
from foundry_rollouts.store.tables import outcomes

KEPT = timedelta(days=1)
PER_QUERY = 1000  #: Sessions that are asked for in one query.

_RECEIVED = (
    select(outcomes)
    .where(
        among(outcomes.c.agent, "names"),
        outcomes.c.received_at >= bindparam("since", type_=outcomes.c.received_at.type),
        outcomes.c.received_at < bindparam("until", type_=outcomes.c.received_at.type),
    )
    .order_by(outcomes.c.received_at, outcomes.c.id)
)
_BEGAN = (
    select(outcomes.c.agent, outcomes.c.session, func.min(outcomes.c.at).label("began"))
    .where(among(outcomes.c.agent, "agents"), among(outcomes.c.session, "sessions"))
    .group_by(outcomes.c.agent, outcomes.c.session)
)

Session = tuple[str, str]  #: An agent, and the session's id.
Sessions = tuple[str, Sequence[str], datetime]  #: An agent, ids of its sessions, and a time.


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


async def received(connection: AsyncConnection, asked: Sequence[Reports]) -> Sequence[Sequence[Outcome]]:
    """Return for each of ``asked`` the outcomes that it names, in the order in which they came."""
    values = {
        "names": sorted({which.agent for which in asked}),
        "since": min(which.received_from for which in asked),
        "until": max(which.received_until for which in asked),
    }
    rows = by_agent(await connection.execute(_RECEIVED, values))
    began = await _first_calls(connection, [(agent, row.session) for agent in rows for row in rows[agent]])
    return [[_outcome(row) for row in rows.get(each.agent, ()) if _is_asked(row, each, began)] for each in asked]


def _is_asked(row: AnyRow, which: Reports, began: Mapping[Session, datetime]) -> bool:
    """Whether a row lies in the window, and is of a session that began late enough."""
    first = began.get((row.agent, row.session))
    is_new = first is None or first >= which.sessions_since
    return is_new and which.received_from <= row.received_at < which.received_until


async def old_sessions(connection: AsyncConnection, asked: Sequence[Sessions]) -> Sequence[Sequence[str]]:
    """Return for each of ``asked`` the sessions in which a call began before its time."""
    wanted = [(agent, session) for agent, sessions, _ in asked for session in sessions]
    began = await _first_calls(connection, wanted)
    return [
        [session for session in sessions if (agent, session) in began and began[agent, session] < since]
        for agent, sessions, since in asked
    ]


async def _first_calls(
    connection: AsyncConnection, wanted: Iterable[tuple[str, str | None]]
) -> Mapping[Session, datetime]:
    """Return when the first call of each session began."""
    found: dict[Session, datetime] = {}
    pairs = sorted({(agent, session) for agent, session in wanted if session is not None})
    for at in range(0, len(pairs), PER_QUERY):
        part = pairs[at : at + PER_QUERY]
        values = {"agents": sorted({agent for agent, _ in part}), "sessions": sorted({session for _, session in part})}
        for row in await connection.execute(_BEGAN, values):
            found[row.agent, row.session] = row.began
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
