"""Which agents of a listing a person should see to, shown by name in the metrics."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from foundry_rollouts.pacing import gently
from foundry_rollouts.ports import AgentKnown, Store
from foundry_rollouts.telemetry import Metrics, Problem


class ProblemsShown(Protocol):
    """Where the agents that have a problem are shown."""

    def problems(self, problem: Problem, agents: Collection[str], nameless: int = 0) -> None: ...


@dataclass(frozen=True, slots=True)
class ProblemsOfProject:
    """The problems of one project's agents, shown beside those of the others."""

    metrics: Metrics
    project: str

    def problems(self, problem: Problem, agents: Collection[str], nameless: int = 0) -> None:
        self.metrics.problems(problem, agents, nameless, self.project)


async def show_problems(
    metrics: ProblemsShown, store: Store, seen: Sequence[AgentKnown], troubles: Collection[str], nameless: int
) -> None:
    """Show the agents that no policy governs, that nothing can be read of, or whose endpoint is not as recorded."""
    ungoverned: list[str] = []
    unpinned: list[str] = []
    changed: list[AgentKnown] = []
    async for agent in gently(seen):
        if agent.policy is None:
            ungoverned.append(agent.name)
        elif agent.name not in troubles:
            unpinned += [agent.name] if _is_unpinned(agent) else []
            changed += [agent] if _is_changed(agent) else []
    metrics.problems(Problem.UNGOVERNED, ungoverned)
    metrics.problems(Problem.UNREADABLE, troubles, nameless)
    metrics.problems(Problem.UNPINNED, unpinned)
    metrics.problems(Problem.DRIFTED, await _drifted(store, changed))


def _is_unpinned(agent: AgentKnown) -> bool:
    return agent.routing is not None and not agent.routing.is_pinned


def _is_changed(agent: AgentKnown) -> bool:
    """Whether the weights are not as recorded, by whoever's hand."""
    routing = agent.routing
    return routing is not None and routing.is_pinned and agent.stable is not None and not agent.is_as_recorded(routing)


async def _drifted(store: Store, changed: Sequence[AgentKnown]) -> list[str]:
    """Return those of ``changed`` that no rollout of ours is changing."""
    if not changed:
        return []
    unfinished = await store.unfinished_in_brief()
    moving = {name for name, rollouts in unfinished.items() if any(rollout.step for rollout in rollouts)}
    return [agent.name for agent in changed if agent.name not in moving]
