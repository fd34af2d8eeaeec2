"""All agents at a glance: those that need a person first, then those with a rollout under way, then the quiet ones."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.operations.progress import progress_of
from foundry_rollouts.operations.views import AgentView, RolloutView, agent_view, rollout_view
from foundry_rollouts.ports import AgentFilter, AgentKnown, Queue, Store

_VERSION = re.compile(r"^[vV](\d+)$")  #: As pages name a version; the store knows it by its number.

PAGE = 50  #: Quiet agents on a page.
METERS = 10  #: Moving agents whose evidence is weighed for their rows; the others say in words what they wait for.
MOST = 200  #: Agents of the other groups that are shown; a search finds the rest.


class Group(StrEnum):
    """Where an agent stands."""

    LOOK = "look"  #: A person is needed.
    MOVING = "moving"  #: A rollout is under way.
    QUIET = "quiet"


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


async def overview(store: Store, now: datetime, words: str | None = None, after: str = "") -> Overview:
    """Return the agents that fit ``words``; the quiet ones from the name ``after`` on."""
    words = _VERSION.sub(r"\1", words) if words else None
    busy = await store.in_hand()
    bad = await store.unacknowledged_counts()
    need = set(await store.agents_to_check()) | bad.keys()
    need |= {name for name, queue in busy.items() if queue.in_hand and needs_person(queue.in_hand)}
    moving = busy.keys() - need
    first = sorted(await _named(store, need, words), key=lambda agent: agent.name not in bad)
    second = await _named(store, moving, words)
    others = frozenset(need | moving)
    quiet = await store.agents_page(AgentFilter(words=words, after=after or None, limit=PAGE + 1, but=others))
    fitting = await store.agents_counted(AgentFilter(words=words))
    counts = {Group.LOOK: len(first), Group.MOVING: len(second), Group.QUIET: fitting - len(first) - len(second)}
    return Overview(
        look=sorted(await _rows(store, first, Group.LOOK, busy, now), key=_urgency),
        moving=await _weighed(store, await _rows(store, second, Group.MOVING, busy, now), busy, now),
        quiet=await _rows(store, quiet[:PAGE], Group.QUIET, busy, now),
        counts=counts,
        next=quiet[PAGE - 1].name if len(quiet) > PAGE else None,
        total=await store.agents_counted(AgentFilter()) if words else fitting,
    )


async def rows_of(store: Store, names: Sequence[str], now: datetime) -> list[Row]:
    """Return the rows of these agents as they are now, in whichever group each is."""
    busy, bad = await store.in_hand(), await store.unacknowledged(names)
    trouble = set(await store.agents_to_check())
    rows = []
    for agent in await _named(store, names):
        in_hand = busy.get(agent.name, Queue()).in_hand
        is_needed = agent.name in trouble or agent.name in bad or (in_hand is not None and needs_person(in_hand))
        group = Group.LOOK if is_needed else Group.MOVING if in_hand else Group.QUIET
        rows += await _rows(store, [agent], group, busy, now)
    return await _weighed(store, rows, busy, now)


def needs_person(rollout: Rollout) -> bool:
    """Whether a rollout goes on only when a person says so."""
    return rollout.phase is Phase.PAUSED or rollout.waits_for_approval or rollout.is_held


async def _named(store: Store, names: Collection[str], words: str | None = None) -> Sequence[AgentKnown]:
    """Return those of ``names`` that there are, by name."""
    if not names:
        return ()
    return await store.agents_page(AgentFilter(words=words, only=frozenset(names), limit=len(names)))


async def _rows(
    store: Store, agents: Sequence[AgentKnown], group: Group, busy: Mapping[str, Queue], now: datetime
) -> list[Row]:
    shown = agents[:MOST]
    names = [agent.name for agent in shown]
    last = await store.last_rollouts(names) if group is Group.QUIET else {}
    bad = await store.unacknowledged(names) if group is Group.LOOK else {}
    return [
        _row(
            agent_view(agent, busy.get(agent.name, Queue()), now, bad.get(agent.name)),
            group,
            busy.get(agent.name, Queue()),
            rollout_view(last[agent.name], now) if agent.name in last else None,
        )
        for agent in shown
    ]


async def _weighed(store: Store, rows: Sequence[Row], busy: Mapping[str, Queue], now: datetime) -> list[Row]:
    """Return ``rows``, the first of those that move with how far they are."""
    first = {row.agent.name for row in [row for row in rows if row.group is Group.MOVING][:METERS]}
    return [await _weigh(store, row, busy, now) if row.agent.name in first else row for row in rows]


async def _weigh(store: Store, row: Row, busy: Mapping[str, Queue], now: datetime) -> Row:
    rollout, shown = busy[row.agent.name].in_hand, row.agent.rollout
    if rollout is None or shown is None or not rollout.step or rollout.phase is not Phase.PROGRESSING:
        return row
    progress = progress_of(rollout, await store.evidence(rollout.id), now)
    return replace(row, agent=replace(row.agent, rollout=replace(shown, progress=progress)))


def _row(agent: AgentView, group: Group, queue: Queue, last: RolloutView | None) -> Row:
    return Row(
        agent,
        group,
        last,
        needs_approval=queue.in_hand is not None and queue.in_hand.waits_for_approval,
    )


def _urgency(row: Row) -> tuple[int, float, str]:
    """Order what needs a person: what went wrong, newest first; then what users meet unproved; then what waits."""
    bad = row.agent.unacknowledged
    if bad is not None:
        return (0, -(bad.ended_at or bad.created_at).timestamp(), row.agent.name)
    return (1 if row.agent.rollout is None else 2, 0.0, row.agent.name)
