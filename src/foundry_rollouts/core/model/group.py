"""Agents that move in lockstep: who they are, and what a rollout writes down for the others of its group."""

from dataclasses import dataclass

from foundry_rollouts.core.model.agent_names import SEPARATOR, full_name, project_in
from foundry_rollouts.errors import UsageError


@dataclass(frozen=True, slots=True)
class Group:
    """A group as a policy names it: all of its agents, so that their number is known."""

    name: str
    agents: tuple[str, ...]  #: In full; a name without a project is one of the project of whoever asks.

    def __post_init__(self) -> None:
        if len(set(self.agents)) < 2 or len(set(self.agents)) < len(self.agents):
            raise UsageError(f"group {self.name}: name at least two agents, each of them once")

    def others(self, agent: str) -> tuple[str, ...]:
        """Return the agents that move with ``agent``; nobody where the group does not name it."""
        project = project_in(agent)
        names = [name if SEPARATOR in name else full_name(project, name) for name in self.agents]
        return tuple(name for name in names if name != agent) if agent in names else ()


@dataclass(frozen=True, slots=True)
class InGroup:
    """What a rollout writes down for the others of its group.

    A run is the rollouts that move together, by their ids. Each writes the run down before its start, and none starts
    before all did: so whoever has not begun knows of every end.
    """

    run: tuple[str, ...] = ()  #: Sorted; empty: it belongs to none yet.
    ready_at: int | None = None  #: The step from which it would go on if it were alone; None: from none, for now.
    ended_with: str | None = None  #: The rollout whose end ended this one; None: it ended of itself.
