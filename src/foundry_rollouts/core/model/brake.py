"""Brakes: what people put on by a word of theirs, with a reason, and perhaps an end: the stopped line, and holds.

The stopped line lets no rollout begin or rise, of any agent or of those of one project. A hold keeps one agent on the
version that it has. Several people may stop the same line, or hold the same agent: it is free when none of them does.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from foundry_rollouts.core.model.agent_names import SEPARATOR, project_in
from foundry_rollouts.core.model.calendar import instant
from foundry_rollouts.core.model.event import Event, number_at, of_agent

#: How an event names all agents; behind a project, those of that project.
EVERY_AGENT = "*"


class BrakeKind(StrEnum):
    """What a brake is."""

    LINE = "line"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a brake is on: the line of all agents, that of one project, or one agent."""

    kind: BrakeKind
    project: str = ""  #: Of a line; empty: of all projects.
    agent: str | None = None  #: Of a hold.

    def concerns(self, agent: str) -> bool:
        """Whether what is on it keeps ``agent`` from going on."""
        if self.kind is BrakeKind.HOLD:
            return self.agent == agent
        return not self.project or project_in(agent) == self.project

    @property
    def subject(self) -> str:
        """Whom events of it are about: one agent, or all that a pattern stands for."""
        if self.agent is not None:
            return self.agent
        return f"{self.project}{SEPARATOR}{EVERY_AGENT}" if self.project else EVERY_AGENT

    @property
    def name(self) -> str:
        """How sentences name it."""
        if self.agent is not None:
            return f"agent {self.agent}"
        return f"the line of project {self.project}" if self.project else "the line"


@dataclass(frozen=True, slots=True)
class Brake:
    """One stop of the line, or one hold of an agent; ``ended_by`` None after its end: its time was over."""

    id: str
    scope: Scope
    reason: str
    author: str
    since: datetime
    until: datetime | None = None  #: When it ends by itself; None: when a person ends it.
    version: str | None = None  #: Which version a hold keeps.
    ended_at: datetime | None = None
    ended_by: str | None = None

    def is_on(self, now: datetime) -> bool:
        """Whether it keeps anything at ``now``: its end needs nobody who notices it."""
        return self.ended_at is None and (self.until is None or now < self.until)

    def keeps(self, agent: str, version: str) -> bool:
        """Whether it keeps that version of ``agent`` from beginning and rising; a hold lets its own pass."""
        return self.scope.concerns(agent) and version != self.version

    def protects(self, agent: str, version: str | None) -> bool:
        """Whether that version is the one that it holds; no version: the agent with all that it has."""
        return self.scope.kind is BrakeKind.HOLD and self.scope.concerns(agent) and version in {None, self.version}

    @property
    def because(self) -> str:
        """Who put it on, why, and until when."""
        until = f" until {instant(self.until)}" if self.until else ""
        if self.scope.kind is BrakeKind.HOLD:
            return f"{self.author} holds {self.scope.name} at version {self.version} ({self.reason}){until}"
        return f"{self.author} stopped {self.scope.name} ({self.reason}){until}"

    @property
    def waiting_for(self) -> str:
        """What ends it."""
        what = "the hold to end" if self.scope.kind is BrakeKind.HOLD else f"{self.scope.name} to start"
        return f"{what}, at {instant(self.until)}" if self.until else what


def of_putting_on(brake: Brake) -> Event:
    """Return the event of a brake that was put on, or got another end."""
    kind = "agent.held" if brake.scope.kind is BrakeKind.HOLD else "line.stopped"
    which = f"{brake.id}:{number_at(brake.until) if brake.until else ''}"
    return of_agent(brake.scope.subject, kind, brake.because, brake.since, which).by(brake.author)


def of_taking_off(brake: Brake, at: datetime, author: str, reason: str | None) -> Event:
    """Return the event of a brake that a person took off."""
    is_hold = brake.scope.kind is BrakeKind.HOLD
    kind = "agent.unheld" if is_hold else "line.started"
    what = (
        f"ended the hold of {brake.scope.name} at version {brake.version}" if is_hold else f"started {brake.scope.name}"
    )
    said = f" ({reason})" if reason else ""
    put_on = f"{brake.author} {'held' if is_hold else 'stopped'} it at {instant(brake.since)}: {brake.reason}"
    return of_agent(brake.scope.subject, kind, f"{author} {what}{said}. {put_on}", at, brake.id).by(author)


def of_expiring(brake: Brake) -> Event:
    """Return the event of a brake whose time is over."""
    is_hold = brake.scope.kind is BrakeKind.HOLD
    kind = "agent.hold_expired" if is_hold else "line.stop_expired"
    at = brake.until or brake.since
    what = (
        f"the hold of {brake.scope.name} at version {brake.version}" if is_hold else f"the stop of {brake.scope.name}"
    )
    because = f"{what} by {brake.author} ({brake.reason}) ended at {instant(at)}, as {brake.author} had said"
    return of_agent(brake.scope.subject, kind, because, at, brake.id)
