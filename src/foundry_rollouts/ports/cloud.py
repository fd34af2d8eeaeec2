"""What is asked of the cloud: its agents and their routing; its sessions, calls and logs."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from foundry_rollouts.core.model.incarnation import NO_MARKS, Marks
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import UnreadableError
from foundry_rollouts.ports.serving import UNTOLD, Serving

#: Kinds of agents, in the cloud's words: those with a container for each session, and those that are only a prompt.
HOSTED, PROMPT = "hosted", "prompt"


class VersionStatus(StrEnum):
    """How far a version's provisioning is."""

    CREATING = "creating"
    ACTIVE = "active"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"
    UNKNOWN = "unknown"  #: A word of the cloud that we do not know.

    @property
    def is_end(self) -> bool:
        """Whether nothing comes after, if it is no flicker."""
        return self in {VersionStatus.FAILED, VersionStatus.DELETING, VersionStatus.DELETED}


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """One version as the cloud shows it; ``error`` is the service's own text when provisioning failed.

    Where it failed and no reason was given, that is what ``error`` says, with the request to name in a ticket.
    """

    version: str
    status: VersionStatus
    created_at: datetime | None = None
    error: str | None = None
    is_draft: bool = False
    protocols: tuple[str, ...] | None = None  #: What it declares to speak; None: it declares nothing.
    content: str | None = None  #: The hash of its code; None: unknown.
    kind: str = HOSTED  #: In the cloud's word, which may be one that we do not know.
    word: str = field(default="", compare=False)  #: The cloud's word for the status, where we do not know it.

    @property
    def status_word(self) -> str:
        """The status as people read it: a word that we do not know is the cloud's own."""
        return self.word if self.status is VersionStatus.UNKNOWN and self.word else self.status.value


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """One agent as the cloud shows it; ``routing.is_open`` is False while it is disabled."""

    name: str
    routing: Routing
    latest: VersionSeen | None
    marks: Marks = NO_MARKS  #: What tells it from another agent of its name, as far as this answer holds it.
    unreadable: str | None = None  #: Why its rules cannot be read; ``routing`` says nothing then.
    protocols: tuple[str, ...] = ()  #: Those that the endpoint serves.
    settings: str = ""  #: All of the endpoint beside the rules, as canonical JSON: for comparison, and to be put back.
    disabled_by: str | None = None  #: What keeps it closed although its own configuration opens it.

    @property
    def kind(self) -> str:
        """What its versions are, in the cloud's word."""
        return self.latest.kind if self.latest else HOSTED

    def routing_read(self) -> Routing:
        """Return the routing. Raises UnreadableError where the rules are not known here: nothing may be changed."""
        if self.unreadable is not None:
            raise UnreadableError(f"the routing of agent {self.name} cannot be read: {self.unreadable}")
        return self.routing


class Catalogue(Protocol):
    """What operations ask of the cloud, reading only. Every method raises CloudError."""

    async def agent(self, name: str) -> AgentSeen: ...

    async def version(self, agent: str, version: str) -> VersionSeen: ...

    async def versions(self, agent: str) -> Sequence[VersionSeen]:
        """Return the newest versions of ``agent``, newest first, a hundred at most."""


class Cloud(Catalogue, Protocol):
    """The agents of one project. Every method raises CloudError when the cloud refuses or is away."""

    def agents(self) -> AsyncIterator[AgentSeen]:
        """Yield every hosted agent and every prompt agent.

        What the cloud lists without a name has none here, and is unreadable.
        """

    async def route(self, agent: str, routing: Routing) -> bool:
        """Send the weights of ``routing``; does not open or close the endpoint, does not read back.

        Returns whether every try was answered: one that was not may still be applied later.
        """

    async def put_back(
        self, agent: str, routing: Routing, before: str, after: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Put back what the endpoint's settings had ``before`` and lack ``after``; ``routing`` stays.

        Returns the names of what was lost, and of what is still not there when read back.
        """

    async def enable(self, agent: str) -> None: ...

    async def disable(self, agent: str) -> None: ...


class SessionStatus(StrEnum):
    """Whether a session has a sandbox at present, may get one, or is over."""

    CREATING = "creating"
    ACTIVE = "active"
    RUNNING = "running"
    UPDATING = "updating"
    IDLE = "idle"  #: Without a sandbox until the next call.
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  #: A word of the cloud that we do not know.

    @property
    def is_live(self) -> bool:
        """Whether there may be a sandbox, which writes a log and can be stopped; a word we do not know may mean it."""
        return self is not SessionStatus.IDLE and not self.is_over

    @property
    def is_starting(self) -> bool:
        """Whether it may still become able to answer; a word we do not know may mean it."""
        return self in {SessionStatus.CREATING, SessionStatus.UPDATING, SessionStatus.UNKNOWN}

    @property
    def is_over(self) -> bool:
        """Whether it never answers again."""
        return self in {SessionStatus.FAILED, SessionStatus.DELETING, SessionStatus.DELETED, SessionStatus.EXPIRED}


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """One session and the version it is bound to."""

    id: str
    version: str
    created_at: datetime
    status: SessionStatus
    word: str = field(default="", compare=False)  #: The cloud's word for the status, where we do not know it.

    @property
    def status_word(self) -> str:
        """The status as people read it: a word that we do not know is the cloud's own."""
        return self.word if self.status is SessionStatus.UNKNOWN and self.word else self.status.value


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from one call, and how long that took; of a streamed response, ``text`` is the final response."""

    status: int
    text: str
    latency: timedelta
    code: str | None = None
    is_whole: bool = True  #: False: it broke off, or its stream ended, before the answer did.
    media: str = ""  #: What it says it is, as ``application/json``.
    version: str | None = None  #: Which version answered, where the answer says so; it need not be the one asked for.
    serving: Serving = UNTOLD  #: What its headers say of that, by themselves.
    session: str | None = None  #: In which session, where its headers say so.


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a session's log stream; ``stream`` is stdout, stderr or status."""

    at: datetime | None
    stream: str
    text: str


class Sessions(Protocol):
    """Calling versions and reading their logs: what sources ask of the cloud. Raises CloudError.

    A prompt agent has no sessions and no logs: none are listed, and what ``open_session`` returns is a name under which
    ``ask`` calls that version, until ``delete_session``.
    """

    def sessions(self, agent: str) -> AsyncIterator[SessionSeen]: ...

    async def open_session(self, agent: str, version: str, session: str) -> SessionSeen: ...

    async def stop_session(self, agent: str, session: str) -> None: ...

    async def delete_session(self, agent: str, session: str) -> None: ...

    async def ask(self, agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        """Send ``question`` to the session, text by Responses, anything else by Invocations, and read all that comes.

        With ``stream`` the answer may come bit by bit. Any HTTP status is an Answer, and so is what broke off once it
        had begun; CloudError means that none came.
        """

    async def ask_version(
        self, agent: str, version: str, question: Any, timeout: timedelta, *, stream: bool = False
    ) -> Answer:
        """Send ``question`` to ``version`` in a session that the cloud opens for it; ``answer.serving`` tells whether.

        Not every endpoint does that: the answer may be another version's, and it need not say whose it is.
        """

    def log_lines(self, agent: str, version: str, session: str) -> AsyncGenerator[LogLine, None]:
        """Follow a session's log until the server ends the stream."""
