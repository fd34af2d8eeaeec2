"""What is asked about all agents together."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from foundry_rollouts.core.deciding.reins import Rein
from foundry_rollouts.core.model.fleet import FleetFacts, FleetQuestion
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Admission:
    """What decides about a start in the transaction that records it, while no other start can be recorded.

    ``refuse`` raises where the start has to wait.
    """

    asked: FleetQuestion
    refuse: Callable[[FleetFacts], None]


class FleetStore(Protocol):
    """All agents together."""

    async def fleet(self, asked: FleetQuestion) -> FleetFacts:
        """Return how all agents stand."""


class LimitsKnown(Protocol):
    """The limits in force; a file that is broken never replaces the last good one."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the file, one line each."""

    def now(self) -> Limits:
        """Return the limits, read again where the file has changed."""


class Fleet(Protocol):
    """What rollouts wait for that is about other agents."""

    async def reins(self, rollout: Rollout, policy: Policy, now: datetime) -> tuple[Rein, ...]:
        """Return what keeps ``rollout`` from its start; ``policy`` governs its agent now."""

    def admission(self, rollout: Rollout, policy: Policy, now: datetime) -> Admission | None:
        """Return what decides about its start at the last moment; None where nothing of others could hold it."""
