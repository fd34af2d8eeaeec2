"""What people list: agents, rollouts, the history of one rollout, what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import NotFoundError
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
from foundry_rollouts.ports import Queue, Readings, RolloutFilter, Store


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """Some rollouts, newest first; ``next`` names where the following page begins, None on the last one."""

    items: tuple[RolloutView, ...]
    next: str | None


async def agents_view(store: Store, now: datetime) -> tuple[AgentView, ...]:
    """Return all agents by name, each with the current rollout."""
    queues = await store.in_hand()
    agents = sorted(await store.agents(), key=lambda agent: agent.name)
    unknown = await store.unacknowledged([agent.name for agent in agents])
    return tuple(agent_view(each, queues.get(each.name, Queue()), now, unknown.get(each.name)) for each in agents)


async def one_agent_view(store: Store, name: str, now: datetime) -> AgentView:
    """Return one agent with the current rollout; NotFoundError when nobody has seen it."""
    agent = await store.agent(name)
    if agent is None:
        raise NotFoundError(f"agent {name!r} is not known: discovery has not seen it in this project (yet)")
    unknown = await store.unacknowledged([name])
    return agent_view(agent, await store.queue(name), now, unknown.get(name))


async def rollouts_view(store: Store, which: RolloutFilter, now: datetime) -> RolloutPage:
    """Return one page of rollouts, newest first."""
    found = await store.rollouts(replace(which, limit=which.limit + 1))
    known = await store.acknowledgements([rollout.id for rollout in found])
    items = tuple(replace(rollout_view(each, now), acknowledged=known.get(each.id)) for each in found[: which.limit])
    return RolloutPage(items, items[-1].id if len(found) > which.limit else None)


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


async def history(store: Readings, rollout: str, after: str | None = None) -> Sequence[Event]:
    """Return the events behind ``after``, oldest first; NotFoundError when the rollout is unknown."""
    await store.rollout(rollout)
    return await store.history(rollout, after)


async def measurements_view(store: Readings, rollout: str) -> tuple[MeasurementView, ...]:
    """Return what was measured for a rollout; NotFoundError when it is unknown."""
    await store.rollout(rollout)
    return tuple(measurement_view(measurement) for measurement in await store.measurements(rollout))
