"""What is asked for an overview of agents: those that a person has to see, and how each of a page fared last."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports.records import AgentFilter


class AgentLists(Protocol):
    """Agents that the cloud shows."""

    async def agents_to_check(self) -> Collection[str]:
        """Return the names of agents that cannot be processed, are closed, or are not pinned to a version."""

    async def agents_under_way(self) -> Mapping[str, bool]:
        """Return every agent that has an unfinished rollout, and whether its current one waits for a person.

        It does when it is paused or held, or stands on a step that a person approves.
        """

    async def agent_names(self, which: AgentFilter) -> Sequence[str]:
        """Return the names of agents, in their order; the filter's limit does not count here."""

    async def last_rollouts(self, agents: Collection[str]) -> Mapping[str, Rollout]:
        """Return the newest rollout of each of ``agents`` that ever had one."""
