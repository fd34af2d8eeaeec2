"""What people look up: agents, rollouts, the history of one rollout, what was measured."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.rollout import Phase, Rollout
from foundry_rollouts.operations.views import (
    AgentView,
    MeasurementView,
    RolloutView,
    agent_view,
    measurement_view,
    rollout_view,
)
from foundry_rollouts.ports import Event, RolloutFilter, Store

PAGE = 200  #: Rollouts that are read at once when all are wanted.


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """Some rollouts, newest first; ``next`` names where the following page begins, None on the last one."""

    items: tuple[RolloutView, ...]
    next: str | None


async def agents_view(store: Store, now: datetime) -> tuple[AgentView, ...]:
    """Return all agents by name, each with the rollout in hand."""
    by_agent: dict[str, list[Rollout]] = defaultdict(list)
    async for rollout in _unfinished(store):
        by_agent[rollout.agent].append(rollout)
    agents = sorted(await store.agents(), key=lambda agent: agent.name)
    return tuple(agent_view(agent, tuple(by_agent[agent.name]), now) for agent in agents)


async def rollouts_view(store: Store, which: RolloutFilter, now: datetime) -> RolloutPage:
    """Return one page of rollouts, newest first."""
    found = await store.rollouts(replace(which, limit=which.limit + 1))
    items = tuple(rollout_view(rollout, now) for rollout in found[: which.limit])
    return RolloutPage(items, items[-1].id if len(found) > which.limit else None)


async def history(store: Store, rollout: str, after: str | None = None) -> Sequence[Event]:
    """Return the events behind ``after``, oldest first; NotFoundError when the rollout is unknown."""
    await store.rollout(rollout)
    return await store.history(rollout, after)


async def measurements_view(store: Store, rollout: str) -> tuple[MeasurementView, ...]:
    """Return what was measured for a rollout; NotFoundError when it is unknown."""
    await store.rollout(rollout)
    return tuple(measurement_view(measurement) for measurement in await store.measurements(rollout))


async def _unfinished(store: Store) -> AsyncIterator[Rollout]:
    for phase in Phase:
        which: RolloutFilter | None = None if phase.is_final else RolloutFilter(phase=phase, limit=PAGE)
        while which:
            page = await store.rollouts(which)
            for rollout in page:
                yield rollout
            which = replace(which, before=page[-1].id) if len(page) == PAGE else None
