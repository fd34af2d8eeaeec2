"""What readiness probes are told: one line for each thing the controller leans on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.ports import Condition, Policies, Store

log = structlog.get_logger()


@dataclass(slots=True)
class Pulse:
    """When the fixed jobs last went well, and why not since."""

    swept_at: datetime | None = None
    discovered_at: datetime | None = None
    trouble: str | None = None  #: Why the cloud could not be listed at the last try.
    upgraded: str | None = None  #: What is to be said of a database that a newer release upgraded.


@dataclass(frozen=True, slots=True)
class Readiness:
    """Implements ``ports.Health``."""

    store: Store
    policies: Policies
    pulse: Pulse
    patience: timedelta  #: How old the last sweep may be.

    async def conditions(self, now: datetime) -> Sequence[Condition]:
        """Return every condition; ready means that all are well."""
        return (await self._database(), self._sweep(now), self._cloud(), self._policies())

    async def _database(self) -> Condition:
        try:
            upgraded = await look_at_schema(self.store, self.pulse)
        except RolloutsError as error:
            return Condition("database", False, str(error))
        return Condition("database", True, upgraded or "reachable, migrations current")

    def _sweep(self, now: datetime) -> Condition:
        at = self.pulse.swept_at
        if at is None:
            return Condition("sweep", False, "no sweep yet")
        is_recent = now - at <= self.patience
        return Condition("sweep", is_recent, f"last sweep {max(0, round((now - at).total_seconds()))} s ago")

    def _cloud(self) -> Condition:
        if self.pulse.trouble:
            return Condition("cloud", False, self.pulse.trouble)
        if self.pulse.discovered_at is None:
            return Condition("cloud", False, "the agents were not listed yet")
        return Condition("cloud", True, "the agents were listed")

    def _policies(self) -> Condition:
        """A broken file is told, but the good ones before it stay in force, so the controller stays ready."""
        if problems := self.policies.problems:
            return Condition("policies", True, f"an older policy stays in force: {problems[0]}")
        return Condition("policies", True, f"{len(self.policies.all())} in force")


async def look_at_schema(store: Store, pulse: Pulse) -> str | None:
    """Return what is to be said of a database that a newer release upgraded, and log it the first time."""
    upgraded = await store.check()
    if upgraded is not None and upgraded != pulse.upgraded:
        log.warning("database.upgraded", because=upgraded)
    pulse.upgraded = upgraded
    return upgraded
