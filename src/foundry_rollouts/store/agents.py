"""What we remember of agents: their stable version by our record, and what discovery saw."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Update, bindparam, collate, func, or_, select, update
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.model.agent_names import full_name
from foundry_rollouts.core.model.incarnation import NO_MARKS, number
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import StoreError
from foundry_rollouts.pacing import chunks, gently
from foundry_rollouts.ports import AgentKnown, Record
from foundry_rollouts.store.documents import MARKS, ROUTING
from foundry_rollouts.store.engine import insert_into
from foundry_rollouts.store.many import AnyRow, among
from foundry_rollouts.store.tables import agents

#: What discovery sees; the other columns are the record's.
SEEN = ("latest", "latest_status", "routing", "policy", "seen_at", "is_gone")

_NAMED = among(agents.c.name, "names")
_ROWS = select(agents).where(_NAMED)


def _same(name: ColumnElement[str]) -> Update:
    """Return the statement that writes when agents were seen, by the order of their names, as all who write many do."""
    now = bindparam("now", type_=agents.c.seen_at.type)
    older = or_(agents.c.seen_at.is_(None), agents.c.seen_at <= now)
    locked = select(agents.c.name).where(_NAMED, older).order_by(name).with_for_update()
    return update(agents).where(agents.c.name.in_(locked)).values(seen_at=now)


#: By the order of Python, whatever language the server sorts by.
_SAME = {"postgresql": _same(collate(agents.c.name, "C")), "sqlite": _same(agents.c.name)}


async def known(connection: AsyncConnection) -> Sequence[AgentKnown]:
    """Return every agent that was ever seen, by name."""
    rows = await connection.execute(select(agents).order_by(agents.c.name))
    return [from_row(row) async for row in gently(rows)]


async def one(connection: AsyncConnection, name: str) -> AgentKnown | None:
    """Return what is remembered of one agent; None when it was never seen."""
    row = (await connection.execute(select(agents).where(agents.c.name == name))).one_or_none()
    return from_row(row) if row else None


async def rows(connection: AsyncConnection, names: Sequence[str]) -> Mapping[str, AnyRow]:
    """Return the rows of the agents of those names that were ever seen."""
    return {row.name: row for row in await connection.execute(_ROWS, {"names": names})}


async def named_like(connection: AsyncConnection, names: Sequence[str]) -> Sequence[str]:
    """Return the agents that the cloud shows and that are called as one of ``names``, give or take capitals."""
    wanted = {name.lower() for name in names}
    query = select(agents.c.name).where(func.lower(agents.c.name).in_(wanted), agents.c.is_gone.is_(False))
    return (await connection.scalars(query.order_by(agents.c.name))).all()


@dataclass(frozen=True, slots=True)
class Extent:
    """What a listing tells of those that it does not name, and of which it says nothing new."""

    is_whole: bool  #: Who is not in it is gone.
    project: str = ""  #: Whose agents it tells of; empty: all.
    as_known: Collection[str] = ()  #: Agents of which the time is written alone.


async def see(connection: AsyncConnection, seen: Sequence[AgentKnown], now: datetime, extent: Extent) -> dict[str, str]:
    """Remember a listing: who is not in a whole one, of its project, is gone. Return which cannot be written, and why.

    Those keep what was known of them. Raises when none can be written.
    """
    # Two replicas that write the same rows in the same order cannot lock each other out.
    unwritten: dict[str, Exception] = {}
    for some in chunks(sorted(seen, key=lambda agent: agent.name)):
        if same := [agent.name for agent in some if agent.name in extent.as_known]:
            await connection.execute(_SAME[connection.dialect.name], {"names": same, "now": now})
        if others := [_row(agent, now) for agent in some if agent.name not in extent.as_known]:
            unwritten |= await _write(connection, others)
    if unwritten and len(unwritten) == len(seen):
        raise next(iter(unwritten.values()))
    if extent.is_whole:
        await _mark_gone(connection, now, unwritten, extent.project)
    return {name: _first_line(error) for name, error in unwritten.items()}


async def _write(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> dict[str, Exception]:
    """Write rows together; where one cannot be written, halve them until it is found and all others are written."""
    insert = insert_into(connection, agents)
    upsert = insert.on_conflict_do_update(
        index_elements=[agents.c.name],
        set_={column: insert.excluded[column] for column in SEEN},
        # A slower replica must not overwrite what another one saw after it.
        where=or_(agents.c.seen_at.is_(None), agents.c.seen_at <= insert.excluded.seen_at),
    )
    try:
        async with connection.begin_nested():
            await connection.execute(upsert, rows)
    except (StatementError, ValueError) as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise
        if len(rows) == 1:
            return {rows[0]["name"]: error}
        half = len(rows) // 2
        return {**await _write(connection, rows[:half]), **await _write(connection, rows[half:])}
    return {}


async def _mark_gone(connection: AsyncConnection, now: datetime, unwritten: Collection[str], project: str) -> None:
    """Note that every agent is gone that was not written by this listing, nor could not be."""
    unseen = or_(agents.c.seen_at.is_(None), agents.c.seen_at < now)
    gone = update(agents).where(unseen, agents.c.is_gone.is_(False))
    if project:
        gone = gone.where(agents.c.name.startswith(full_name(project, ""), autoescape=True))
    if unwritten:
        # Such a name may be one that no statement can carry: those that the table holds can be.
        kept = [name for name in await connection.scalars(select(agents.c.name)) if name in unwritten]
        gone = gone.where(agents.c.name.not_in(kept))
    await connection.execute(gone.values(is_gone=True))


def _first_line(error: Exception) -> str:
    original = error.orig if isinstance(error, StatementError) and error.orig else error
    return (str(original).strip() or type(original).__name__).splitlines()[0]


async def settle(connection: AsyncConnection, agent: str, made: Record, routing: Routing | None = None) -> None:
    """Write down what a record says of its agent, and the ``routing`` that the cloud confirmed, if one was sent.

    A new incarnation has no stable and no newest version before it.
    """
    change: dict[str, Any] = {name: getattr(made, name) for name in ("stable", "newest") if getattr(made, name)}
    if routing is not None:
        change["routing"] = ROUTING.write(routing)
    if made.kept is not None:
        change["kept"] = ROUTING.write(made.kept) if made.kept.weights else None
    if made.unreadable is not None:
        change["unreadable"] = made.unreadable or None
    if made.marks is not None:
        change["marks"] = MARKS.write(made.marks)
    if made.incarnation is not None:
        change = {"stable": None, "newest": None, "kept": None, **change, "incarnation": made.incarnation}
    if change:
        insert = insert_into(connection, agents).values(name=agent, is_gone=False, **change)
        await connection.execute(insert.on_conflict_do_update(index_elements=[agents.c.name], set_=change))


async def note_newest(connection: AsyncConnection, agent: str, version: str) -> None:
    """Count a version that a person started as considered, where discovery has none between it and the last one."""
    query = select(agents.c.newest).where(agents.c.name == agent).with_for_update()
    before, place = number(await connection.scalar(query)), number(version)
    if before is not None and place == before + 1:
        await connection.execute(update(agents).where(agents.c.name == agent).values(newest=version))


def _row(agent: AgentKnown, now: datetime) -> dict[str, Any]:
    return {
        "name": agent.name,
        "latest": agent.latest,
        "latest_status": agent.latest_status,
        "routing": ROUTING.write(agent.routing) if agent.routing else None,
        "policy": agent.policy,
        "seen_at": now,
        "is_gone": False,
    }


def from_row(row: AnyRow) -> AgentKnown:
    """Return the agent that a row tells of."""
    return AgentKnown(
        name=row.name,
        stable=row.stable,
        newest=row.newest,
        latest=row.latest,
        latest_status=row.latest_status,
        routing=_routing(row.routing),
        policy=row.policy,
        seen_at=row.seen_at,
        is_gone=row.is_gone,
        kept=_routing(row.kept),
        unreadable=row.unreadable,
        incarnation=row.incarnation,
        marks=MARKS.read(row.marks) if row.marks is not None else NO_MARKS,
    )


def _routing(document: Any) -> Routing | None:
    """Return a routing as it was seen; one that cannot be read is as good as never seen."""
    try:
        return ROUTING.read(document) if document is not None else None
    except StoreError:
        return None
