"""What is asked of the memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports.access import Tokens
from foundry_rollouts.ports.agent_lists import AgentLists
from foundry_rollouts.ports.brakes import BrakeBook
from foundry_rollouts.ports.fleet import Admission, FleetStore
from foundry_rollouts.ports.notices import NoticeStates
from foundry_rollouts.ports.people import Acknowledgements, AuditLog
from foundry_rollouts.ports.projects import ProjectBinding
from foundry_rollouts.ports.records import (
    AgentFilter,
    AgentKnown,
    Brief,
    Due,
    Intent,
    Lease,
    Leased,
    Outcome,
    Queue,
    Record,
    Reports,
    RolloutFilter,
    Standing,
)
from foundry_rollouts.ports.sign_ins import SignIns

Choose = Callable[[Sequence[Due]], Sequence[Due]]  #: Takes agents that are due, and returns those that are wanted.
HeardHere = Callable[[Sequence[str]], Sequence[str]]  #: Takes agents that became due, and returns those of others.


class Upkeep(ProjectBinding, Protocol):
    """What the service asks of its database as a whole."""

    async def check(self) -> str | None:
        """Raise StoreError unless the database answers with a schema that carries us.

        Return None when that is ours, or a sentence about one that a newer release brought.
        """

    async def forget_measurements(self, before: datetime) -> int:
        """Take away the measurements of rollouts that ended before that time; return how many. Events stay for good."""


class Leases(Protocol):
    """Which replica may act on which agent. A lease that was lost writes nothing."""

    async def claim_due(
        self, now: datetime, limit: int, busy: Sequence[str] = (), choose: Choose | None = None
    ) -> Sequence[Lease]:
        """Take the leases of at most ``limit`` agents that have a due rollout or an open intent.

        Those that are free are taken, and those that this replica holds are granted anew; ``busy`` are left alone, and
        so is what ``choose`` leaves out of all that are due, those that are free first.
        """

    async def claim_free(self, now: datetime, limit: int, choose: Choose) -> Sequence[Lease]:
        """Take the leases of at most ``limit`` agents that have unfinished rollouts and that no replica holds.

        They need not be due: who holds them in time hears of a failure at once. ``choose`` leaves some to others.
        """

    async def claim(self, agent: str, now: datetime) -> Lease | None:
        """Take the lease of ``agent``, anew when this replica holds it; None while another replica does."""

    async def renew(self, leases: Sequence[Lease], now: datetime) -> Sequence[Lease]:
        """Prolong leases that are still ours; the others are left out of the answer."""

    async def release(self, lease: Lease) -> None: ...

    async def hand_over(self, now: datetime, busy: Sequence[str] = ()) -> bool:
        """Free every lease of this replica but those of ``busy``, due at once for whoever takes them next.

        Returns whether all of them are free now; another try frees the rest.
        """

    async def hand_over_some(self, leases: Sequence[Lease], now: datetime) -> None:
        """Free those of ``leases`` that are still ours, due at once for their owners."""


class Heartbeats(Protocol):
    """Which replicas are alive: those seen within the time that a lease lasts, by the clock of the database."""

    async def beat(self) -> Leased:
        """Write this replica's heartbeat, and return who is alive."""

    async def leave(self) -> None:
        """Take this replica's heartbeat away."""


class Ticks(Protocol):
    """What a tick reads and writes.

    Every write raises LeaseLostError when the fence of its lease is not the newest, and writes nothing.
    """

    async def standing(self, agent: str) -> Standing:
        """Return all that a tick reads of ``agent``, as of one instant."""

    async def unfinished(self, agent: str) -> Sequence[Rollout]:
        """Return the rollouts of ``agent`` that have not ended, oldest first."""

    async def unfinished_in_brief(self) -> Mapping[str, Sequence[Brief]]:
        """Return of each agent the rollouts that have not ended, oldest first."""

    async def queue(self, agent: str) -> Queue:
        """Return the current rollout of ``agent`` and what matters of those behind it, however many they are."""

    async def rest(self, lease: Lease, in_hand: str, now: datetime, until: datetime) -> None:
        """Let the agent's rollouts that are due and not in hand rest ``until`` then."""

    async def members(self, agents: Sequence[str], run: Sequence[str]) -> Sequence[Rollout]:
        """Return the current rollout of each of ``agents`` that has one, and those of ``run``, ended or not."""

    async def owing_stops(self, agent: str) -> Sequence[Rollout]:
        """Return the ended rollouts of ``agent`` whose canary's sessions are still to be stopped."""

    async def evidence(self, rollout: str) -> Evidence: ...

    async def commands(self, rollout: str) -> Sequence[Command]:
        """Return the commands that nobody obeyed yet, the most urgent first."""

    async def open_intent(self, lease: Lease, intent: Intent, admission: Admission | None = None) -> None:
        """Write an intent down, unless ``admission`` refuses it: one start after the other is asked."""

    async def intent(self, agent: str) -> Intent | None: ...

    async def drop_intent(self, lease: Lease, intent: Intent) -> None: ...

    async def record(self, lease: Lease, record: Record, closes: Intent | None = None) -> None: ...


class Wakes(Protocol):
    """How a source makes a rollout due."""

    async def wake(self, rollout: str, now: datetime) -> None:
        """Make ``rollout`` due at once; one that has ended, or that nobody knows, sleeps on."""

    def hear_here(self, here: HeardHere) -> None:
        """Tell ``here`` at once of all that becomes due by this store; it returns those that others act on."""


class Agents(Protocol):
    """What is known of agents."""

    async def in_hand(self) -> Mapping[str, Queue]:
        """Return the current rollout of every agent that has one, and how many wait behind it."""

    async def agent(self, name: str) -> AgentKnown | None: ...

    async def agents(self) -> Sequence[AgentKnown]: ...

    async def agents_page(self, which: AgentFilter) -> Sequence[AgentKnown]:
        """Return some agents, by name; those that are gone are left out."""

    async def agents_counted(self, which: AgentFilter) -> int:
        """Return how many agents ``which`` names, on all pages."""

    async def queues(self, agents: Sequence[str]) -> Mapping[str, Queue]:
        """Return the current rollout of each of ``agents`` that has one, and how many wait behind it."""

    async def see_agents(
        self,
        seen: Sequence[AgentKnown],
        now: datetime,
        *,
        is_whole: bool = True,
        project: str = "",
        as_known: Collection[str] = (),
    ) -> Mapping[str, str]:
        """Remember what discovery saw: routing, latest version, policy, time. ``stable`` and ``newest`` stay.

        Who is not in a listing that ``is_whole`` is gone; one of ``project`` tells of the agents of that alone. Of
        those that are ``as_known`` only the time is new: they are as this replica read them from here. Returns which
        agents cannot be written, and why; the others are written all the same.
        """

    async def agents_named_like(self, names: Sequence[str]) -> Sequence[str]:
        """Return the agents that the cloud shows and that are called as one of ``names``, give or take capitals."""


class Requests(Protocol):
    """What people ask."""

    async def create(self, rollout: Rollout, event: Event, idempotency_key: str | None) -> Rollout:
        """Add a rollout; the same key again returns the rollout it made. Raises ConflictError for another request."""

    async def accept(self, command: Command) -> Rollout:
        """Add a command, raise the generation and make the rollout due.

        The same idempotency key again changes nothing and returns the rollout as it is. Raises ConflictError when
        ``command.generation`` is stale or the same verb waits already, NotFoundError when there is no such rollout.
        """


class Readings(Protocol):
    """What people look up."""

    async def rollout(self, id: str) -> Rollout: ...  # noqa: A002 - the word of the API

    async def rollouts(self, which: RolloutFilter) -> Sequence[Rollout]: ...

    async def counts(self) -> dict[Phase, int]:
        """Return how many rollouts there are in each phase."""

    async def history(self, rollout: str, after: str | None = None, limit: int | None = None) -> Sequence[Event]:
        """Return the events of a rollout, oldest first: those behind the event ``after``, at most so many."""

    async def events_behind(self, number: int, limit: int) -> Sequence[tuple[int, Event]]:
        """Return events of all agents behind the one of that number, oldest first, each with its number."""

    async def event_number(self, event: str | None) -> int:
        """Return the number of an event, or of the newest one (0: there is none). Raises NotFoundError."""

    async def measurements(self, rollout: str, limit: int = 1000) -> Sequence[Measurement]: ...

    async def measured_before(self, rollout: str, before: int | None, limit: int) -> Sequence[tuple[int, Measurement]]:
        """Return the last measurements before the one of that number, newest last, each with its number."""

    async def measurements_behind(self, rollout: str, known: int) -> Sequence[Measurement]:
        """Return the measurements of ``rollout`` in the order in which they came, without the first ``known``."""


class Reported(Protocol):
    """What callers report of their calls."""

    async def report(self, reported: Sequence[Outcome]) -> Sequence[Outcome]:
        """Add the outcomes whose ids are new for their agents, and return those."""

    async def outcomes(self, which: Reports) -> Sequence[Outcome]:
        """Return the outcomes that ``which`` names, in the order in which they came."""

    async def old_sessions(self, agent: str, sessions: Sequence[str], since: datetime) -> Sequence[str]:
        """Return those of ``sessions`` in which a call began before ``since``."""


class Store(
    Upkeep,
    Leases,
    Heartbeats,
    Ticks,
    Wakes,
    Agents,
    Requests,
    Readings,
    Reported,
    Tokens,
    SignIns,
    AgentLists,
    FleetStore,
    Acknowledgements,
    AuditLog,
    BrakeBook,
    NoticeStates,
    Protocol,
):
    """What we remember, whole; who needs less asks for less. Raises StoreError when the database is away."""
