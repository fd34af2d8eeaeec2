"""The queue of an agent: its current rollout and those behind it, without reading all that wait."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, case, cast, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.deciding.queue import QUEUED, Place, held, is_to_be_held
from foundry_rollouts.core.model.event import of_rollout
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports import Audience, Queue
from foundry_rollouts.store import history, rollouts
from foundry_rollouts.store.tables import UNFINISHED, commands
from foundry_rollouts.store.tables import rollouts as table

#: How many queued rollouts are tended at once; the others have their turn at the next tick.
MAX_PER_TICK = 32

_IS_ASKED = exists().where(commands.c.rollout == table.c.id, commands.c.is_obeyed.is_(False))
#: What ``_place`` takes.
_PLACE = (
    table.c.step,
    table.c.document["is_return"].as_boolean().label("is_return"),
    table.c.document["is_held"].as_boolean().label("is_held"),
    table.c.created_at,
    table.c.id,
)
_PLACES = select(
    table.c.agent,
    table.c.phase,
    table.c.document["waiting_for"].as_string().label("waiting_for"),
    _IS_ASKED.label("is_asked"),
    *_PLACE,
).where(UNFINISHED)
#: The steps where a person approves one of them: most plans have no such step, and to read a thousand plans takes long.
_APPROVED = case((cast(table.c.policy, Text).contains('"approval"'), table.c.policy["steps"]))
_CURRENT = select(table.c.agent, table.c.phase, _APPROVED, *_PLACE).where(UNFINISHED)


@dataclass(frozen=True, slots=True)
class _Entry:
    place: Place
    phase: Phase
    is_asked: bool
    is_told: bool  #: It says already that it is queued.


async def of_agent(connection: AsyncConnection, agent: str) -> Queue:
    """Return the queue of ``agent``; the work does not grow with those that wait."""
    entries = sorted(
        (_entry(row) for row in await connection.execute(_PLACES.where(table.c.agent == agent))),
        key=lambda entry: entry.place,
    )
    if not entries:
        return Queue()
    first, *behind = entries
    newest = _newest(first, behind)
    tended = _to_tend(behind)
    wanted = {first.place.id, *tended, *([newest] if newest else [])}
    found = await rollouts.by_id(connection, wanted)
    return Queue(
        in_hand=found[first.place.id],
        newest=found[newest] if newest else None,
        waiting=len(behind),
        to_tend=tuple(found[each] for each in tended),
    )


async def in_hand(connection: AsyncConnection, agents: Sequence[str] | None = None) -> Mapping[str, Queue]:
    """Return the current rollout of every agent that has one, or of each of ``agents``, and how many wait behind it."""
    entries: dict[str, list[Place]] = defaultdict(list)
    query = _PLACES if agents is None else _PLACES.where(table.c.agent.in_(agents))
    for row in await connection.execute(query):
        entries[row.agent].append(_entry(row).place)
    first = {agent: min(places).id for agent, places in entries.items()}
    found = await rollouts.by_id(connection, set(first.values()))
    return {agent: Queue(found[id_], waiting=len(entries[agent]) - 1) for agent, id_ in first.items()}


async def under_way(connection: AsyncConnection) -> Mapping[str, bool]:
    """Return every agent that has an unfinished rollout, and whether its current one goes on only by a person."""
    current: dict[str, tuple[Place, bool]] = {}
    for agent, phase, approved, *rest in await connection.execute(_CURRENT):
        place = _place(*rest)
        before = current.get(agent)
        if before is None or place < before[0]:
            awaits_approval = bool(approved) and not place.is_queued and "approval" in approved[rest[0] - 1]
            current[agent] = (place, phase == Phase.PAUSED or place.is_held or awaits_approval)
    return {agent: needs_person for agent, (_, needs_person) in current.items()}


async def rest(connection: AsyncConnection, agent: str, in_hand: str, now: datetime, until: datetime) -> None:
    """Let those of ``agent`` that are due and not current rest ``until`` then."""
    behind = (table.c.agent == agent, UNFINISHED, table.c.id != in_hand, table.c.due_at <= now)
    await connection.execute(update(table).where(*behind).values(due_at=until))


async def hold(connection: AsyncConnection, ended: Rollout, *, audience: Audience) -> None:
    """Let what is queued behind ``ended``, which a person aborted, wait for a person."""
    now = ended.ended_at or ended.created_at
    for queued in await rollouts.unfinished(connection, ended.agent):
        if queued.id == ended.id or not is_to_be_held(queued):
            continue
        stands = await rollouts.standing(connection, queued.id)
        then = held(queued, ended, now)
        await rollouts.save(connection, then, stands, due_at=now)
        event = replace(of_rollout(queued, "rollout.paused", then.because, now), phase=then.phase.value)
        await history.append(connection, event, audience=audience)


def _newest(first: _Entry, behind: Sequence[_Entry]) -> str | None:
    """Return the newest one that waits and is younger than the current one; one that is paused displaces nobody."""
    younger = [
        entry.place
        for entry in behind
        if entry.phase is Phase.PENDING and entry.place.created_at > first.place.created_at
    ]
    return max(younger, key=lambda place: (place.created_at, place.id)).id if younger else None


def _to_tend(behind: Sequence[_Entry]) -> list[str]:
    asked = [entry.place.id for entry in behind if entry.is_asked]
    untold = [entry.place.id for entry in behind if not entry.is_asked and not entry.is_told]
    return [*asked, *untold][:MAX_PER_TICK]


def _entry(row: Row[Any]) -> _Entry:
    return _Entry(
        place=_place(row.step, row.is_return, row.is_held, row.created_at, row.id),
        phase=Phase(row.phase),
        is_asked=row.is_asked,
        is_told=row.phase == Phase.PAUSED or row.waiting_for == QUEUED,
    )


def _place(step: int, is_return: bool | None, is_held: bool | None, created_at: datetime, id_: str) -> Place:
    return Place(not step, not is_return, bool(is_held), created_at, id_)
