"""What readiness probes get: one line for each thing the controller depends on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from foundry_rollouts.controller.governance import Survey
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.ports import Condition, Policies, Upkeep

log = structlog.get_logger()


@dataclass(slots=True)
class JobHealth:
    """When the fixed jobs last went well, and why not since."""

    swept_at: datetime | None = None
    discovered_at: datetime | None = None
    trouble: str | None = None  #: Why the cloud could not be listed at the last try.
    survey: Survey = field(default_factory=Survey)  #: What the last discovery that went well saw.
    is_tried: asyncio.Event = field(default_factory=asyncio.Event)  #: Set once the agents were listed, or could not be.
    upgraded: str | None = None  #: What is to be said of a database that a newer release upgraded.


class ProjectsHealth(Protocol):
    """What is said of each of several projects."""

    def conditions(self, now: datetime) -> Sequence[Condition]: ...


@dataclass(frozen=True, slots=True)
class Readiness:
    """Implements ``ports.Health``."""

    store: Upkeep
    policies: Policies
    job_health: JobHealth
    patience: timedelta  #: How old the last sweep may be.
    discovery_patience: timedelta = timedelta(seconds=90)  #: How old the last discovery may be.
    projects: ProjectsHealth | None = None  #: Where there are several projects; the cloud is well while one of them is.

    async def conditions(self, now: datetime) -> Sequence[Condition]:
        """Return every condition; ready means that all are well."""
        each = self.projects.conditions(now) if self.projects else ()
        return (await self._database(), self._sweep(now), self._cloud(now), *each, self._policies(), self._agents())

    async def _database(self) -> Condition:
        try:
            upgraded = await check_schema(self.store, self.job_health)
        except RolloutsError as error:
            return Condition("database", False, str(error))
        return Condition("database", True, upgraded or "reachable, migrations current")

    def _sweep(self, now: datetime) -> Condition:
        at = self.job_health.swept_at
        if at is None:
            return Condition("sweep", False, "no sweep yet")
        is_recent = now - at <= self.patience
        return Condition("sweep", is_recent, f"last sweep {max(0, round((now - at).total_seconds()))} s ago")

    def _cloud(self, now: datetime) -> Condition:
        if self.job_health.trouble:
            return Condition("cloud", False, self.job_health.trouble)
        at = self.job_health.discovered_at
        if at is None:
            return Condition("cloud", False, "the agents were not listed yet")
        if now - at > self.discovery_patience:
            return Condition("cloud", False, f"the agents were last listed {round((now - at).total_seconds())} s ago")
        return Condition("cloud", True, "the agents were listed")

    def _policies(self) -> Condition:
        """Report broken files and none at all; the good ones before stay in force, so the controller stays ready."""
        count = len(self.policies.all())
        if problems := self.policies.problems:
            more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
            because = f"{count} in force, as they were before: {problems[0]}{more}"
            return Condition("policies", False, because, is_essential=False)
        if not count:
            return Condition("policies", False, "none are in force: new versions get no trial", is_essential=False)
        return Condition("policies", True, f"{count} in force")

    def _agents(self) -> Condition:
        """Report agents that no policy governs; where that is a contradiction, it is not well."""
        survey = self.job_health.survey
        because = f"{survey.governed} governed"
        if survey.ungoverned:
            because += f", {survey.ungoverned} without a policy: their new versions get no trial"
        if survey.ties:
            because += f". {survey.ties[0]}"
        if survey.nameless:
            because += (
                f". {survey.nameless[0]}: nothing is known of it, and no agent that is not seen counts as deleted"
            )
        return Condition("agents", not (survey.ties or survey.nameless), because, is_essential=False)


async def check_schema(store: Upkeep, job_health: JobHealth) -> str | None:
    """Return what is to be said of a database that a newer release upgraded, and log it the first time."""
    upgraded = await store.check()
    if upgraded is not None and upgraded != job_health.upgraded:
        log.warning("database.upgraded", because=upgraded)
    job_health.upgraded = upgraded
    return upgraded
