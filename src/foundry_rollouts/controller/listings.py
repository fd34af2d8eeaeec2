"""Agents as the latest listing of their project showed them, so that a tick need not read each by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from foundry_rollouts.core.model.agent_names import project_in
from foundry_rollouts.ports import AgentSeen


@dataclass(slots=True)
class Listings:
    """The latest listing of each project, as far as it shows agents with rollouts."""

    _latest: dict[str, tuple[datetime, Mapping[str, AgentSeen]]] = field(default_factory=dict)

    def take(self, project: str, asked_at: datetime, agents: Mapping[str, AgentSeen]) -> None:
        """Keep a listing that is whole and was asked for at ``asked_at``; what the one before showed is forgotten."""
        self._latest[project] = asked_at, agents

    def shown(self, agent: str) -> tuple[datetime, AgentSeen] | None:
        """Return when the latest listing was asked for and what it showed; None where it did not show ``agent``."""
        asked_at, agents = self._latest.get("") or self._latest.get(project_in(agent)) or (None, {})
        seen = agents.get(agent)
        return (asked_at, seen) if asked_at is not None and seen is not None else None
