"""What is asked for an overview of agents: those that a person has to see, and how each of a page fared last."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports.records import AgentFilter


class AgentLists(Protocol):
    """Agents that the cloud shows."""

    def at_once(self) -> AbstractAsyncContextManager[None]:
        """Return a block in which this task reads everything in one transaction.

        A page asks a dozen questions, and most of their time would go into beginnings and ends.
        """

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

    async def evidence_of_each(self, rollouts: Collection[str]) -> Mapping[str, Evidence]:
        """Return the evidence of those of ``rollouts`` that there are, fresh before the first measurement."""
