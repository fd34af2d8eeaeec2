"""Whose agents a database knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BoundProjects:
    """The projects that a database is of: one whose agents have plain names, or several by name."""

    only: str | None = None  #: What tells the one project from others.
    several: Mapping[str, str] = field(default_factory=dict)  #: Of each by its name, what tells it from others.
    count: int = 0


class ProjectBinding(Protocol):
    """What keeps the agents of one project from being taken for those of another."""

    async def projects(self) -> BoundProjects:
        """Return the projects whose agents are known here."""

    async def bind_project(self, name: str, now: datetime) -> str:
        """Let the database be of project ``name`` unless it is of one already; return the one that it is of."""

    async def add_project(self, name: str, identity: str, place: int, now: datetime) -> None:
        """Let the database be of that project, too, unless another one was added at that place meanwhile."""
