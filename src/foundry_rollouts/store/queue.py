"""The queue of an agent: its current rollout and those behind it, without reading all that wait."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Text, case, cast, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.core.deciding.queue import QUEUED, Place, held, is_to_be_held
from foundry_rollouts.core.model.event import of_rollout
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.pacing import gently
from foundry_rollouts.ports import Audience, Brief, Queue
from foundry_rollouts.store import history, rollouts
from foundry_rollouts.store.many import AnyRow, among, by_agent
from foundry_rollouts.store.tables import UNFINISHED
from foundry_rollouts.store.tables import rollouts as table

#: How many queued rollouts are tended at once; the others have their turn at the next tick.
MAX_PER_TICK = 32

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
    rollouts.IS_ASKED.label("is_asked"),
    *_PLACE,
).where(UNFINISHED)
_PLACES_OF = _PLACES.where(among(table.c.agent, "agents"))
#: The steps where a person approves one of them: most plans have no such step, and to read a thousand plans takes long.
_APPROVED = case((cast(table.c.policy, Text).contains('"approval"'), table.c.policy["steps"]))
_CURRENT = select(table.c.agent, table.c.phase, _APPROVED, *_PLACE).where(UNFINISHED)


@dataclass(frozen=True, slots=True)
class _Entry:
    place: Place
    phase: Phase
    is_asked: bool
    is_told: bool  #: It says already that it is queued.


@dataclass(frozen=True, slots=True)
class Line:
    """What is to be read of the rollouts of one agent that have not ended: the ids of those that matter."""

    in_hand: str | None = None
    newest: str | None = None
    waiting: int = 0
    to_tend: Sequence[str] = ()

    @property
    def ids(self) -> set[str]:
        return {id_ for id_ in (self.in_hand, self.newest, *self.to_tend) if id_ is not None}

    def with_rollouts(self, found: Mapping[str, Rollout]) -> Queue:
        """Return the queue with its rollouts."""
        return Queue(
            in_hand=found[self.in_hand] if self.in_hand else None,
            newest=found[self.newest] if self.newest else None,
            waiting=self.waiting,
            to_tend=tuple(found[each] for each in self.to_tend),
        )


async def of_agent(connection: AsyncConnection, agent: str) -> Queue:
    """Return the queue of ``agent``; the work does not grow with those that wait."""
    line = (await lines(connection, [agent]))[agent]
    return line.with_rollouts(await rollouts.by_id(connection, line.ids))


async def lines(connection: AsyncConnection, agents: Sequence[str]) -> Mapping[str, Line]:
    """Return what is to be read of the queue of each of ``agents``."""
    found = by_agent(await connection.execute(_PLACES_OF, {"agents": agents}))
    return {agent: _line([_entry(row) for row in found.get(agent, ())]) for agent in agents}


def _line(entries: Sequence[_Entry]) -> Line:
    if not entries:
        return Line()
    first, *behind = sorted(entries, key=lambda entry: entry.place)
    return Line(first.place.id, _newest(first, behind), len(behind), _to_tend(behind))


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


async def in_brief(connection: AsyncConnection) -> Mapping[str, Sequence[Brief]]:
    """Return of each agent the rollouts that have not ended, oldest first."""
    query = select(table.c.agent, table.c.canary, table.c.step).where(UNFINISHED)
    found = defaultdict[str, list[Brief]](list)
    async for agent, canary, step in gently(await connection.execute(query.order_by(table.c.created_at, table.c.id))):
        found[agent].append(Brief(canary, step))
    return found


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


def _entry(row: AnyRow) -> _Entry:
    return _Entry(
        place=_place(row.step, row.is_return, row.is_held, row.created_at, row.id),
        phase=Phase(row.phase),
        is_asked=row.is_asked,
        is_told=row.phase == Phase.PAUSED or row.waiting_for == QUEUED,
    )


def _place(step: int, is_return: bool | None, is_held: bool | None, created_at: datetime, id_: str) -> Place:
    return Place(not step, not is_return, bool(is_held), created_at, id_)
