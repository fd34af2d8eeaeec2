"""What is remembered of people: what they know of, and what they asked for."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from foundry_rollouts.core.model.acknowledgement import Acknowledgement
from foundry_rollouts.core.model.audit import AuditEntry, AuditFilter
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Rollout


class Acknowledgements(Protocol):
    """Which ends of rollouts somebody knows of."""

    async def acknowledge(self, rollout: str, known: Acknowledgement, event: Event) -> Acknowledgement:
        """Write down that somebody knows, with its event; return the first that was said of this rollout."""

    async def acknowledgements(self, rollouts: Sequence[str]) -> Mapping[str, Acknowledgement]:
        """Return what was said of these rollouts, where something was."""

    async def unacknowledged(self, agents: Sequence[str]) -> Mapping[str, Rollout]:
        """Return, of each of ``agents`` that has one, the newest rollout that ended badly and nobody knows of.

        A later one that was promoted, or acknowledged, ends the need; so does the end of the agent.
        """

    async def unacknowledged_counts(self) -> Mapping[str, int]:
        """Return how many such rollouts every agent has that has any."""


class AuditLog(Protocol):
    """Who asked for what: append only."""

    async def append_audit(self, entry: AuditEntry) -> None: ...

    async def audit(self, which: AuditFilter) -> Sequence[AuditEntry]:
        """Return entries, newest first. Raises NotFoundError when the page is to begin after an unknown one."""
