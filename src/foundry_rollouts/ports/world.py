"""What the controller depends on beside cloud and store, and the bundle of everything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from foundry_rollouts.core.deciding.readiness import Readiness
from foundry_rollouts.core.model.calendar import Calendar, FilesRead
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports.brakes import Brakes
from foundry_rollouts.ports.cloud import Cloud, Sessions
from foundry_rollouts.ports.fleet import Fleet
from foundry_rollouts.ports.outbox import Notifier
from foundry_rollouts.ports.store import Store


class Source(Protocol):
    """Where measurements come from."""

    @property
    def name(self) -> str: ...

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        """Return what was counted since the last call, in strata; starts to watch ``rollout`` at the first call."""

    async def release(self, rollout: str) -> None:
        """Stop watching: the rollout has ended, or another replica has it."""

    async def close(self) -> None:
        """Stop watching everything."""


class ReadinessChecks(Protocol):
    """Checks whether sandboxes of a rollout's versions become ready."""

    async def check(self, rollout: Rollout) -> Readiness | None:
        """Return how they fare; the first call begins to check. None where the policy wants no check."""

    async def release(self, rollout: str) -> None:
        """Stop looking: the rollout has ended, or another replica has it."""


class Policies(Protocol):
    """The policies in force."""

    def all(self) -> Sequence[Policy]: ...

    def policy_for(self, agent: str) -> Policy | None:
        """Return the policy that names ``agent`` most exactly; None when none does."""

    def named(self, name: str) -> Policy: ...

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with files that were changed since and are therefore not in force."""


class Calendars(Protocol):
    """Calendars that stand in files; one that is broken never replaces the last good one."""

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with them, one line each."""

    async def of_all(self) -> Calendar | str:
        """Return the calendar of all agents; why it cannot be read, where no good one is known."""

    async def read(self, calendar: Calendar, now: datetime) -> FilesRead:
        """Return what the files of ``calendar`` hold: the last good spans, or why there are none."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of readiness: its name, whether it is well, and a sentence."""

    name: str
    is_well: bool
    because: str
    is_essential: bool = True  #: False: the service is ready all the same, and only says so.


class Health(Protocol):
    """What readiness probes get."""

    async def conditions(self, now: datetime) -> Sequence[Condition]: ...


class Wake(Protocol):
    """Rings when a rollout became due before its time."""

    def wake_sweep(self) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """All that the controller depends on."""

    cloud: Cloud
    sessions: Sessions
    store: Store
    policies: Policies
    sources: Sequence[Source] = field(default=())
    notifier: Notifier | None = None  #: None: what is recorded waits.
    ready: ReadinessChecks | None = None  #: None: nobody checks whether sandboxes become ready.
    calendars: Calendars | None = None  #: None: no file says when nothing may move.
    fleet: Fleet | None = None  #: None: no rollout waits for those of other agents.
    time_needed: Callable[[Policy, float, float], str] | None = None  #: By policy, calls a second, stable's rate.
    brakes: Brakes | None = None  #: None: nobody can stop the line or hold an agent.
    confirm_within: timedelta = timedelta(seconds=20)  #: The endpoint may serve the old routing for some seconds.
