"""What the controller and the operations ask of the world, in their own words.

``wiring`` hands in the real ones: ``foundry`` is the cloud, ``store`` the memory, ``signals`` the sources.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from foundry_rollouts.core.command import Command
from foundry_rollouts.core.evidence import Evidence
from foundry_rollouts.core.measurement import Measurement, Window
from foundry_rollouts.core.policy import Policy
from foundry_rollouts.core.rollout import Phase, Rollout
from foundry_rollouts.core.routing import Routing

# --- the cloud ---------------------------------------------------------------------------------------------


class VersionStatus(StrEnum):
    """How far a version's provisioning is."""

    CREATING = "creating"
    ACTIVE = "active"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"
    UNKNOWN = "unknown"  #: A word of the cloud that we do not know.


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """One version as the cloud shows it; ``error`` is the service's own text when provisioning failed."""

    version: str
    status: VersionStatus
    created_at: datetime | None = None
    error: str | None = None
    is_draft: bool = False


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """One agent as the cloud shows it; ``routing.is_open`` is False while it is disabled."""

    name: str
    routing: Routing
    latest: VersionSeen | None


class Cloud(Protocol):
    """The hosted agents of one project. Every method raises CloudError when the cloud refuses or is away."""

    def agents(self) -> AsyncIterator[AgentSeen]: ...

    async def agent(self, name: str) -> AgentSeen: ...

    async def version(self, agent: str, version: str) -> VersionSeen: ...

    async def route(self, agent: str, routing: Routing) -> None:
        """Send the weights of ``routing``; does not open or close the endpoint, does not read back."""

    async def enable(self, agent: str) -> None: ...

    async def disable(self, agent: str) -> None: ...


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """One live session and the version it is bound to."""

    id: str
    version: str
    created_at: datetime
    status: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one call: HTTP status, error code, body text, and how long it took."""

    status: int
    text: str
    latency: timedelta
    code: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a session's log stream; ``stream`` is stdout, stderr or status."""

    at: datetime | None
    stream: str
    text: str


class Sessions(Protocol):
    """Calling versions and reading their logs: what sources ask of the cloud. Raises CloudError."""

    def sessions(self, agent: str) -> AsyncIterator[SessionSeen]: ...

    async def open_session(self, agent: str, version: str, session: str) -> SessionSeen: ...

    async def stop_session(self, agent: str, session: str) -> None: ...

    async def delete_session(self, agent: str, session: str) -> None: ...

    async def ask(self, agent: str, session: str, question: Any, timeout: timedelta) -> Answer:
        """Send ``question`` to the session: text by Responses, anything else by Invocations.

        Any HTTP status is an Answer; CloudError means that no answer came.
        """

    def log_lines(self, agent: str, version: str, session: str) -> AsyncIterator[LogLine]:
        """Follow a session's log until the server ends the stream."""


# --- sources -----------------------------------------------------------------------------------------------


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


# --- the store ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """A replica's right to act on one agent until a time; ``fence`` grows with each grant."""

    agent: str
    replica: str
    fence: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """A fact in the history. ``id`` is made of what happened, so that the same fact is written once."""

    id: str
    at: datetime
    kind: str  #: Past tense, as ``rollout.advanced``.
    agent: str
    because: str
    rollout: str | None = None
    step: int | None = None
    weights: dict[str, int] | None = None  #: Version to percent, as they are after the event.
    author: str | None = None


@dataclass(frozen=True, slots=True)
class AgentKnown:
    """What we remember of an agent."""

    name: str
    stable: str | None = None  #: The version that users have by our record.
    newest: str | None = None  #: The newest version that discovery has dealt with.
    latest: str | None = None  #: The newest release that the cloud shows.
    latest_status: str | None = None
    routing: Routing | None = None  #: As last seen.
    policy: str | None = None
    seen_at: datetime | None = None
    is_gone: bool = False  #: The cloud shows it no more.


@dataclass(frozen=True, slots=True)
class Record:
    """All that one tick writes down, in one transaction. None and empty leave things as they are."""

    event: Event | None = None
    rollout: Rollout | None = None
    evidence: Evidence | None = None
    measurements: tuple[Measurement, ...] = ()
    obeyed: tuple[str, ...] = ()  #: Ids of commands that need no more attention.
    due_at: datetime | None = None  #: When the rollout is to be looked at again; None: never (it has ended).
    stable: str | None = None  #: The agent's stable version from now on.
    newest: str | None = None  #: The newest version that discovery has dealt with, from now on.
    created: Rollout | None = None  #: A rollout that begins its life with this record.


@dataclass(frozen=True, slots=True)
class Intent:
    """About to change the cloud so: written before the change, closed in one transaction with ``record``."""

    id: str
    agent: str
    opened_at: datetime
    before: Routing  #: As seen when the intent was opened.
    target: Routing
    is_retreat: bool  #: It lowers the canary's exposure, so it is repeated until it is done.
    record: Record


@dataclass(frozen=True, slots=True)
class RolloutFilter:
    """Which rollouts to list, newest first; ``before`` is the id after which the page begins."""

    agent: str | None = None
    phase: Phase | None = None
    limit: int = 50
    before: str | None = None


class Store(Protocol):
    """What we remember. Raises StoreError when the database is away.

    Every write that takes a lease raises LeaseLostError when its fence is not the newest, and writes nothing.
    """

    async def check(self) -> None:
        """Raise StoreError unless the database answers and its schema is ours."""

    # leases
    async def claim_due(self, now: datetime, limit: int) -> Sequence[Lease]:
        """Take the lease of each agent that has a due rollout or an open intent and is free, at most ``limit``."""

    async def claim(self, agent: str, now: datetime) -> Lease | None:
        """Take the lease of ``agent``; None while another replica, or another task of this one, holds it."""

    async def renew(self, leases: Sequence[Lease], now: datetime) -> Sequence[Lease]:
        """Prolong leases that are still ours; the others are left out of the answer."""

    async def release(self, lease: Lease) -> None: ...

    # the tick
    async def unfinished(self, agent: str) -> Sequence[Rollout]:
        """Return the rollouts of ``agent`` that have not ended, oldest first."""

    async def evidence(self, rollout: str) -> Evidence: ...

    async def commands(self, rollout: str) -> Sequence[Command]:
        """Return the commands that nobody obeyed yet, the most urgent first."""

    async def open_intent(self, lease: Lease, intent: Intent) -> None: ...

    async def intent(self, agent: str) -> Intent | None: ...

    async def drop_intent(self, lease: Lease, intent: Intent) -> None: ...

    async def record(self, lease: Lease, record: Record, closes: Intent | None = None) -> None: ...

    # agents
    async def agents(self) -> Sequence[AgentKnown]: ...

    async def see_agents(self, seen: Sequence[AgentKnown], now: datetime) -> None:
        """Remember what discovery saw: routing, latest version, policy, time. ``stable`` and ``newest`` stay."""

    # what people ask
    async def create(self, rollout: Rollout, event: Event, idempotency_key: str | None) -> Rollout:
        """Add a rollout; the same key again returns the rollout it made. Raises ConflictError for another request."""

    async def accept(self, command: Command) -> Rollout:
        """Add a command, raise the generation and make the rollout due.

        The same idempotency key again changes nothing and returns the rollout as it is. Raises ConflictError when
        ``command.generation`` is stale or the same verb waits already, NotFoundError when there is no such rollout.
        """

    async def rollout(self, id: str) -> Rollout: ...  # noqa: A002 - the word of the API

    async def rollouts(self, which: RolloutFilter) -> Sequence[Rollout]: ...

    async def counts(self) -> dict[Phase, int]:
        """Return how many rollouts there are in each phase."""

    async def history(self, rollout: str, after: str | None = None) -> Sequence[Event]:
        """Return the events of a rollout, oldest first, those behind the event ``after``."""

    async def measurements(self, rollout: str, limit: int = 1000) -> Sequence[Measurement]: ...


# --- the rest ----------------------------------------------------------------------------------------------


class Policies(Protocol):
    """The policies in force."""

    def all(self) -> Sequence[Policy]: ...

    def policy_for(self, agent: str) -> Policy | None:
        """Return the policy that names ``agent`` most exactly; None when none does."""

    def named(self, name: str) -> Policy: ...

    @property
    def problems(self) -> Sequence[str]:
        """What is wrong with files that were changed since and are therefore not in force."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of readiness: its name, whether it is well, and a sentence."""

    name: str
    is_well: bool
    because: str


class Health(Protocol):
    """What readiness probes are told."""

    async def conditions(self, now: datetime) -> Sequence[Condition]: ...


class Wake(Protocol):
    """Rings when a rollout became due before its time."""

    def ring(self) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """All that the controller leans on."""

    cloud: Cloud
    sessions: Sessions
    store: Store
    policies: Policies
    sources: Sequence[Source] = field(default=())
