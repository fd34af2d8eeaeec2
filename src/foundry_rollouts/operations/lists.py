"""What people list: agents, rollouts, the history of one rollout, what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.operations.brakes import holds_of
from foundry_rollouts.operations.paging import cut, one_more
from foundry_rollouts.operations.progress import Progress, progress_of
from foundry_rollouts.operations.views import (
    AgentView,
    MeasurementView,
    RolloutView,
    agent_view,
    measurement_view,
    rollout_view,
    whole_view,
)
from foundry_rollouts.ports import AgentFilter, Queue, Readings, RolloutFilter, Store

ROWS_AT_ONCE = 200  #: Rollouts that are read at once.


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """Some rollouts, newest first; ``next`` names where the following page begins, None on the last one."""

    items: tuple[RolloutView, ...]
    next: str | None


class AgentGroup(StrEnum):
    """Where an agent stands: it needs a person, its rollout goes on by itself, or neither."""

    LOOK = "look"
    MOVING = "moving"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class AgentPage:
    """Some agents, by name; ``next`` names where the following page begins, None on the last one."""

    items: tuple[AgentView, ...]
    next: str | None
    total: int  #: On all pages.


async def agents_page(store: Store, which: AgentFilter, now: datetime, group: AgentGroup | None = None) -> AgentPage:
    """Return one page of agents; what is read does not grow with those on others."""
    async with store.at_once():
        return await _agents_page(store, which, now, group)


async def _agents_page(store: Store, which: AgentFilter, now: datetime, group: AgentGroup | None) -> AgentPage:
    if group is not None:
        which = _grouped(which, group, await agents_by_need(store))
    found = await store.agents_page(replace(which, limit=which.limit + 1))
    names = [agent.name for agent in found[: which.limit]]
    queues, unknown = await store.queues(names), await store.unacknowledged(names)
    brakes = await store.brakes()
    items = tuple(
        replace(
            agent_view(each, queues.get(each.name, Queue()), now, unknown.get(each.name)),
            holds=holds_of(brakes, each.name, now),
        )
        for each in found[: which.limit]
    )
    is_whole = which.after is None and len(found) <= which.limit
    total = len(found) if is_whole else await store.agents_counted(which)
    return AgentPage(items, items[-1].name if len(found) > which.limit else None, total)


@dataclass(frozen=True, slots=True)
class AgentsByNeed:
    """The names of all agents that are not quiet."""

    look: frozenset[str]  #: They need a person.
    moving: frozenset[str]  #: Their rollout goes on by itself.
    bad: frozenset[str]  #: Of ``look``: their last rollout ended badly, and nobody knows of it.


async def agents_by_need(store: Store) -> AgentsByNeed:
    """Return where every agent stands."""
    under_way = await store.agents_under_way()
    people = {name for name, needs_person in under_way.items() if needs_person}
    bad = frozenset(await store.unacknowledged_counts())
    look = bad | people | frozenset(await store.agents_to_check())
    return AgentsByNeed(look, frozenset(under_way.keys() - look), bad)


def _grouped(which: AgentFilter, group: AgentGroup, names: AgentsByNeed) -> AgentFilter:
    match group:
        case AgentGroup.LOOK:
            return replace(which, only=names.look)
        case AgentGroup.MOVING:
            return replace(which, only=names.moving)
        case AgentGroup.QUIET:
            return replace(which, but=names.look | names.moving)


async def one_agent_view(store: Store, name: str, now: datetime) -> AgentView:
    """Return one agent with the current rollout; NotFoundError when nobody has seen it."""
    agent = await store.agent(name)
    if agent is None:
        raise NotFoundError(f"agent {name!r} is not known: discovery has not seen it in this project (yet)")
    unknown = await store.unacknowledged([name])
    view = agent_view(agent, await store.queue(name), now, unknown.get(name))
    return replace(view, holds=holds_of(await store.brakes(), name, now))


async def rollouts_view(store: Store, which: RolloutFilter, now: datetime) -> RolloutPage:
    """Return one page of rollouts, newest first."""
    async with store.at_once():
        found = await store.rollouts(replace(which, limit=which.limit + 1))
        known = await store.acknowledgements([rollout.id for rollout in found])
    items = tuple(replace(rollout_view(each, now), acknowledged=known.get(each.id)) for each in found[: which.limit])
    return RolloutPage(items, items[-1].id if len(found) > which.limit else None)


async def every_rollout(store: Store, which: RolloutFilter, now: datetime, most: int) -> list[RolloutView]:
    """Return at most so many rollouts, newest first, however many pages they take."""
    found: list[RolloutView] = []
    which = replace(which, limit=ROWS_AT_ONCE)
    while len(found) < most:
        page = await rollouts_view(store, which, now)
        found += page.items
        if page.next is None:
            break
        which = replace(which, before=page.next)
    return found[:most]


async def one_rollout(store: Readings, rollout: str) -> Rollout:
    """Return a rollout; NotFoundError when it is unknown."""
    return await store.rollout(rollout)


async def one_rollout_view(store: Store, rollout: str, now: datetime, answer: str | None = None) -> RolloutView:
    """Return one rollout with its progress and the commands that wait; NotFoundError when it is unknown."""
    found = await store.rollout(rollout)
    view = await with_commands(store, found, now, answer=answer)
    known = await store.acknowledgements([rollout])
    return replace(view, progress=await rollout_progress(store, found, now), acknowledged=known.get(rollout))


async def rollout_progress(store: Store, rollout: Rollout, now: datetime) -> Progress:
    """Return how far ``rollout`` is."""
    return progress_of(rollout, await store.evidence(rollout.id) if rollout.step else None, now)


async def with_commands(store: Store, rollout: Rollout, now: datetime, **more: Any) -> RolloutView:
    """Return ``rollout`` with the commands that wait for it."""
    return whole_view(rollout, await store.commands(rollout.id), now, **more)


async def events_after(store: Readings, rollout: str, after: str | None) -> tuple[Rollout, Sequence[Event]]:
    """Return a rollout and its events behind ``after``.

    The rollout is read before its history, so that an ended one is never shown without its end.
    """
    return await store.rollout(rollout), await store.history(rollout, after)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events of all agents, oldest first; ``next`` names the last one, None where nothing came behind it."""

    items: tuple[Event, ...]
    next: str | None


async def events_page(store: Readings, after: str | None, limit: int) -> EventPage:
    """Return the events of all agents behind ``after``, oldest first."""
    number = 0 if after is None else await event_number(store, after)
    found = [event for _, event in await events_everywhere(store, number, limit + 1)]
    items, onward = cut(found, limit, lambda event: event.id)
    return EventPage(tuple(items), onward)


async def events_everywhere(store: Readings, behind: int, limit: int) -> Sequence[tuple[int, Event]]:
    """Return the events of all agents behind the one of that number, oldest first, each with its number."""
    return await store.events_behind(behind, limit)


async def event_number(store: Readings, event: str | None) -> int:
    """Return the number of an event, or of the newest one; NotFoundError when there is no such event."""
    return await store.event_number(event)


async def history(store: Readings, rollout: str, after: str | None = None, limit: int | None = None) -> Sequence[Event]:
    """Return the events behind ``after``, oldest first; NotFoundError when the rollout is unknown."""
    await store.rollout(rollout)
    return await store.history(rollout, after, limit)


async def history_page(store: Readings, rollout: str, after: str | None, limit: int | None) -> EventPage:
    """Return one page of the events of a rollout, oldest first; without a limit, all of them."""
    found = await history(store, rollout, after, one_more(limit))
    items, onward = cut(found, limit, lambda event: event.id)
    return EventPage(tuple(items), onward)


@dataclass(frozen=True, slots=True)
class MeasurementPage:
    """Some measurements of a rollout, oldest first; ``next`` names where the page of older ones ends, if any."""

    items: tuple[MeasurementView, ...]
    next: str | None


async def measurements_page(store: Readings, rollout: str, before: int | None, limit: int) -> MeasurementPage:
    """Return the newest measurements of a rollout, or those before a cursor; NotFoundError when it is unknown."""
    await store.rollout(rollout)
    found = await store.measured_before(rollout, before, limit + 1)
    kept = found[-limit:]
    items = tuple(measurement_view(measurement) for _, measurement in kept)
    return MeasurementPage(items, str(kept[0][0]) if len(found) > limit else None)
