"""What is written down and read again: leases, events, agents, intents."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.backoff import Refused
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.incarnation import NO_MARKS, Marks
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing


@dataclass(frozen=True, slots=True)
class Lease:
    """A replica's right to act on one agent until a time; ``fence`` grows with each grant."""

    agent: str
    replica: str
    fence: int
    until: datetime
    due_at: datetime | None = None  #: Since when something of the agent's has been waiting, where that is known.


@dataclass(frozen=True, slots=True)
class Brief:
    """As much of an unfinished rollout as a listing of the agents asks for."""

    canary: str
    step: int


@dataclass(frozen=True, slots=True)
class Due:
    """An agent that is due and that no other replica holds."""

    agent: str
    since: datetime
    holder: str | None = None  #: Who has its lease, or let it run out; None: it is free.


@dataclass(frozen=True, slots=True)
class Leased:
    """The replicas that are alive, as one of them learns with its heartbeat."""

    replica: str
    live: frozenset[str]
    leases: int  #: All that are held.


@dataclass(frozen=True, slots=True)
class AgentKnown:
    """What we remember of an agent."""

    name: str
    stable: str | None = None  #: The version that users have by our record.
    newest: str | None = None  #: The newest version that discovery has considered.
    latest: str | None = None  #: The newest release that the cloud shows.
    latest_status: str | None = None
    routing: Routing | None = None  #: As last seen.
    policy: str | None = None
    seen_at: datetime | None = None
    is_gone: bool = False  #: The cloud shows it no more.
    kept: Routing | None = None  #: Weights of another hand that stay until a rollout begins.
    unreadable: str | None = None  #: Why nothing of it can be read, decided or recorded; None: all is well.
    incarnation: int = 1  #: Grows when the agent was deleted and made again under its name.
    marks: Marks = NO_MARKS  #: What tells this incarnation from the ones before.

    def is_as_recorded(self, seen: Routing) -> bool:
        """Whether the weights are those that are left to serve between rollouts."""
        kept = self.kept.weights if self.kept else None
        return self.stable is not None and seen.weights in {((self.stable, 100),), kept}


@dataclass(frozen=True, slots=True)
class Record:
    """All that one tick writes down, in one transaction. None and empty leave things as they are."""

    event: Event | None = None
    rollout: Rollout | None = None
    evidence: Evidence | None = None
    measurements: tuple[Measurement, ...] = ()
    obeyed: tuple[str, ...] = ()  #: Ids of commands that need no more attention.
    heard: tuple[str, ...] = ()  #: Ids of commands that were considered, obeyed or not.
    due_at: datetime | None = None  #: When the rollout is due again; None: never (it has ended).
    stable: str | None = None  #: The agent's stable version from now on.
    newest: str | None = None  #: The newest version that discovery has considered, from now on.
    created: Rollout | None = None  #: A rollout that begins its life with this record.
    kept: Routing | None = None  #: Weights of another hand that stay from now on; one without versions: none do.
    unreadable: str | None = None  #: Why the agent cannot be processed, from now on; empty: it can again.
    holds_queue: bool = False  #: What is queued behind ``rollout`` waits for a person from now on.
    has_new_policy: bool = False  #: ``rollout`` goes by another policy from now on.
    marks: Marks | None = None  #: What tells the agent from another of its name, from now on.
    incarnation: int | None = None  #: A new one begins: what was known of stable and newest versions is forgotten.


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
    refused: Refused | None = None  #: What the cloud said to it; None: nothing yet.
    settings: str | None = None  #: What the endpoint had beside its weights; None: not known.


@dataclass(frozen=True, slots=True)
class Queue:
    """The unfinished rollouts of an agent: the current one, and what matters of those behind it."""

    in_hand: Rollout | None = None  #: None: no rollout of the agent is unfinished.
    newest: Rollout | None = None  #: The newest that waits and is younger than the current one.
    waiting: int = 0  #: How many wait behind the current one.
    to_tend: tuple[Rollout, ...] = ()  #: Those of them that were asked something, or do not say yet that they wait.


@dataclass(frozen=True, slots=True)
class Standing:
    """All that a tick reads of one agent, in one transaction."""

    queue: Queue = Queue()
    intent: Intent | None = None  #: The open one.
    known: AgentKnown | None = None  #: None: the agent was never seen.
    commands: tuple[Command, ...] = ()  #: Those to the current rollout that nobody obeyed yet, the most urgent first.
    evidence: Evidence | None = None  #: Of the current rollout, once it has begun.
    owing_stops: tuple[Rollout, ...] = ()  #: Ended rollouts whose canary's sessions are still to be stopped.


@dataclass(frozen=True, slots=True)
class RolloutFilter:
    """Which rollouts to list, newest first; ``before`` is the id after which the page begins."""

    agent: str | None = None
    phase: Phase | None = None
    limit: int = 50
    before: str | None = None
    canary: str | None = None
    is_unfinished: bool = False  #: Those that have not ended only.
    incarnation: int | None = None  #: Of the agent, when the rollout was created.
    policy: str | None = None
    since: datetime | None = None  #: Created at or after that time.
    until: datetime | None = None  #: Created before that time.
    words: str | None = None  #: In the agent's name or in the last sentence.


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Which agents to list, by name; ``after`` is the name after which the page begins."""

    words: str | None = None  #: In the agent's name, its policy, or a version.
    after: str | None = None
    limit: int = 100
    only: frozenset[str] | None = None  #: None: whatever its name.
    but: frozenset[str] = frozenset()
    with_gone: bool = False  #: Those too that the cloud no longer lists.


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call went, as its caller reports it; ``id`` is the caller's, the same again is the same call."""

    id: str
    agent: str
    version: str
    at: datetime  #: When the call began.
    received_at: datetime
    cause: str | None = None  #: Why it failed; None: it did well.
    latency: timedelta | None = None
    session: str | None = None
    has_log_error: bool = False


@dataclass(frozen=True, slots=True)
class Reports:
    """Which outcomes to read: received in a half-open span, and of no session that is older than the rollout."""

    agent: str
    received_from: datetime
    received_until: datetime
    sessions_since: datetime
