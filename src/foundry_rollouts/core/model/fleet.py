"""What is known of all agents together, for rollouts that may have to wait for those of others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from foundry_rollouts.core.model.rollout import Phase


@dataclass(frozen=True, slots=True)
class Trial:
    """A rollout that has not ended, as the others see it."""

    rollout: str
    agent: str
    canary: str
    created_at: datetime
    phase: Phase = Phase.PENDING
    is_under_way: bool = False  #: It has a weight, or is about to get its first one.
    is_observed: bool = False  #: It moves nothing.
    is_revert: bool = False
    held_by: str | None = None  #: As its last tick left it.
    due_at: datetime | None = None
    labels: tuple[str, ...] = ()
    run: tuple[str, ...] = ()  #: The rollouts that move together with it, itself among them.


@dataclass(frozen=True, slots=True)
class BadEnd:
    """A rollout that ended badly, and that neither an acknowledgement nor a promotion came after."""

    rollout: str
    agent: str
    canary: str
    phase: Phase
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """All agents at one instant."""

    trials: tuple[Trial, ...] = ()
    bad_ends: Mapping[str, BadEnd] = field(default_factory=dict)  #: The newest of each agent.
    known: frozenset[str] = frozenset()  #: Agents that the cloud shows, of those asked for.


@dataclass(frozen=True, slots=True)
class FleetQuestion:
    """What is to be read beside the rollouts that have not ended."""

    agents: tuple[str, ...] = ()  #: Which agents are there, and how their last rollouts ended.
    of_all: bool = False  #: How the last rollouts of all agents ended.
    before: datetime | None = None  #: Of others: those under way, and who waits for a place since then.
    run: tuple[str, ...] = ()  #: Rollouts to be read in any case.
