"""What is asked for an overview of agents: those that a person has to see, and how each of a page fared last."""

from collections.abc import Collection, Mapping
from typing import Protocol

from foundry_rollouts.core.model.rollout import Rollout


class AgentLists(Protocol):
    """Agents that the cloud shows."""

    async def agents_to_check(self) -> Collection[str]:
        """Return the names of agents that cannot be processed, are closed, or are not pinned to a version."""

    async def last_rollouts(self, agents: Collection[str]) -> Mapping[str, Rollout]:
        """Return the newest rollout of each of ``agents`` that ever had one."""
