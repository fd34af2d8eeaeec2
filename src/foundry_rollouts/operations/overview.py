"""All agents at a glance: those that need a person first, then those with a rollout under way, then the quiet ones."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.model.brake import Brake
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.operations.brakes import holds_of
from foundry_rollouts.operations.lists import AgentGroup as Group
from foundry_rollouts.operations.lists import agents_by_need
from foundry_rollouts.operations.progress import Progress, progress_of
from foundry_rollouts.operations.views import AgentView, RolloutView, agent_view, rollout_view
from foundry_rollouts.ports import AgentFilter, AgentKnown, Queue, Store

_VERSION = re.compile(r"^[vV](\d+)$")  #: As pages name a version; the store knows it by its number.

PAGE = 50  #: Quiet agents on a page.
METERS = 10  #: Moving agents whose evidence is weighed for their rows; the others say in words what they wait for.
SOME = 25  #: Agents of each other group that are shown beside the rest.
MOST = 200  #: The same where that group alone was asked for; a search finds the others.


@dataclass(frozen=True, slots=True)
class Row:
    """One agent, and the last rollout it had."""

    agent: AgentView
    group: Group
    last: RolloutView | None = None
    needs_approval: bool = False  #: Its rollout goes on when a person approves.


@dataclass(frozen=True, slots=True)
class Overview:
    """What the first page shows; counts are of all agents that fit the words."""

    look: Sequence[Row]
    moving: Sequence[Row]
    quiet: Sequence[Row]
    counts: Mapping[Group, int]
    next: str | None  #: The name after which the next page of quiet agents begins.
    total: int  #: Agents, whatever the words.


async def overview(
    store: Store, now: datetime, words: str | None = None, after: str = "", only: Group | None = None
) -> Overview:
    """Return the agents that fit ``words``: quiet ones from the name ``after`` on, most of the group ``only``.

    Who stands where is asked in names and numbers; whole agents and rollouts are read for the rows that are shown.
    """
    async with store.at_once():
        return await _overview(store, now, words, after, only)


async def _overview(store: Store, now: datetime, words: str | None, after: str, only: Group | None) -> Overview:
    words = _VERSION.sub(r"\1", words) if words else None
    names = await agents_by_need(store)
    others = names.look | names.moving
    found = await store.agent_names(AgentFilter(words=words, only=others)) if others else ()
    first = sorted((name for name in found if name in names.look), key=lambda name: name not in names.bad)
    second = [name for name in found if name in names.moving]
    fitting = await store.agents_counted(AgentFilter(words=words))
    shown = {group: MOST if group is only else SOME for group in Group}
    busy = await _busy_rows(store, first[: shown[Group.LOOK]], second[: shown[Group.MOVING]], now)
    quiet = await store.agents_page(AgentFilter(words=words, after=after or None, limit=PAGE + 1, but=others))
    brakes = await store.brakes()
    busy = _with_holds(busy, brakes, now)
    return Overview(
        look=sorted((row for row in busy if row.group is Group.LOOK), key=_urgency),
        moving=[row for row in busy if row.group is Group.MOVING],
        quiet=_with_holds(await _quiet_rows(store, quiet[:PAGE], now), brakes, now),
        counts={Group.LOOK: len(first), Group.MOVING: len(second), Group.QUIET: fitting - len(found)},
        next=quiet[PAGE - 1].name if len(quiet) > PAGE else None,
        total=await store.agents_counted(AgentFilter()) if words else fitting,
    )


async def rows_of(store: Store, names: Sequence[str], now: datetime) -> list[Row]:
    """Return the rows of these agents as they are now, in whichever group each is."""
    async with store.at_once():
        return await _rows_of(store, names, now)


async def _rows_of(store: Store, names: Sequence[str], now: datetime) -> list[Row]:
    under_way, bad = await store.queues(names), await store.unacknowledged(names)
    trouble = set(await store.agents_to_check())
    groups: dict[Group, list[str]] = {group: [] for group in Group}
    for name in names:
        in_hand = under_way.get(name, Queue()).in_hand
        is_needed = name in trouble or name in bad or (in_hand is not None and needs_person(in_hand))
        groups[Group.LOOK if is_needed else Group.MOVING if in_hand else Group.QUIET].append(name)
    busy = await _busy_rows(store, groups[Group.LOOK], groups[Group.MOVING], now)
    quiet = await _quiet_rows(store, await _agents(store, groups[Group.QUIET]), now)
    return _with_holds(sorted((*busy, *quiet), key=lambda row: row.agent.name), await store.brakes(), now)


def _with_holds(rows: Sequence[Row], brakes: Sequence[Brake], now: datetime) -> list[Row]:
    """Return ``rows`` with who holds their agents."""
    return [replace(row, agent=replace(row.agent, holds=holds_of(brakes, row.agent.name, now))) for row in rows]


def needs_person(rollout: Rollout) -> bool:
    """Whether a rollout goes on only when a person says so."""
    return rollout.phase is Phase.PAUSED or rollout.waits_for_approval or rollout.is_held


async def _agents(store: Store, names: Collection[str]) -> Sequence[AgentKnown]:
    """Return those of ``names`` that there are, by name."""
    return await store.agents_page(AgentFilter(only=frozenset(names), limit=len(names))) if names else ()


async def _busy_rows(store: Store, look: Sequence[str], moving: Sequence[str], now: datetime) -> list[Row]:
    """Return the rows of agents that are not quiet, by name."""
    names = [*look, *moving]
    queues = await store.queues(names) if names else {}
    bad = await store.unacknowledged(look) if look else {}
    goes_on, rows = frozenset(moving), []
    for agent in await _agents(store, names):
        queue = queues.get(agent.name, Queue())
        needs_approval = queue.in_hand is not None and queue.in_hand.waits_for_approval
        view = agent_view(agent, queue, now, bad.get(agent.name))
        group = Group.MOVING if agent.name in goes_on else Group.LOOK
        rows.append(Row(view, group, needs_approval=needs_approval))
    return await _weighed(store, rows, queues, now)


async def _weighed(store: Store, rows: Sequence[Row], queues: Mapping[str, Queue], now: datetime) -> list[Row]:
    """Return ``rows``, the first of those that move with how far they are."""
    moving = [row.agent.name for row in rows if row.group is Group.MOVING]
    found = [each for name in moving[:METERS] if (each := queues[name].in_hand) is not None]
    weighed = {each.agent: each for each in found if each.step and each.phase is Phase.PROGRESSING}
    evidence = await store.evidence_of_each([each.id for each in weighed.values()]) if weighed else {}
    progress = {name: progress_of(each, evidence[each.id], now) for name, each in weighed.items()}
    return [_with_progress(row, progress.get(row.agent.name)) for row in rows]


def _with_progress(row: Row, progress: Progress | None) -> Row:
    if progress is None or row.agent.rollout is None:
        return row
    return replace(row, agent=replace(row.agent, rollout=replace(row.agent.rollout, progress=progress)))


async def _quiet_rows(store: Store, agents: Sequence[AgentKnown], now: datetime) -> list[Row]:
    last = await store.last_rollouts([agent.name for agent in agents]) if agents else {}
    return [
        Row(
            agent_view(agent, Queue(), now),
            Group.QUIET,
            rollout_view(last[agent.name], now) if agent.name in last else None,
        )
        for agent in agents
    ]


def _urgency(row: Row) -> tuple[int, float, str]:
    """Order what needs a person: what went wrong, newest first; then what users meet unproved; then what waits."""
    bad = row.agent.unacknowledged
    if bad is not None:
        return (0, -(bad.ended_at or bad.created_at).timestamp(), row.agent.name)
    return (1 if row.agent.rollout is None else 2, 0.0, row.agent.name)
