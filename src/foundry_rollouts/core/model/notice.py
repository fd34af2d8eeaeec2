"""What of the history somebody is to hear: how severe it is, what it changes, and when it is said again.

A *state* is what there is to know of one subject, a rollout or an agent, until something else happens to it. A state
is announced once; where it waits for a person it is repeated, at growing intervals, until it is over. What happens
again and again in the same state is merged into the next of those times: a storm is not louder than the schedule.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from foundry_rollouts.core.model.awaited import Waiting
from foundry_rollouts.core.model.backoff import REMINDERS, reminder_after
from foundry_rollouts.core.model.event import HARMED, HELD, WAITING, Event
from foundry_rollouts.core.model.rollout import Phase

PAUSED = "rollout.paused"
#: After these more people are waited for: the last one who is needed lets the rollout advance.
APPROVED = frozenset({"rollout.approved", "rollout.approval_voided"})
#: A state that returns sooner than this is still the one before; later it is a new one, announced at once.
SETTLES_AFTER: timedelta = REMINDERS[0]


class Severity(StrEnum):
    """How much somebody has to know of it."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


_CRITICAL = frozenset({"rollout.rolled_back", "rollout.disabled", "rollout.failed", HARMED, "agent.stable_gone"})
_WARNING = frozenset(
    {
        PAUSED,
        "rollout.stepped_back",
        "rollout.refused",
        WAITING,
        HELD,
        *APPROVED,
        "sessions.unstopped",
        "agent.drifted",
        "agent.refused",
        "agent.unreadable",
        "agent.ungoverned",
        "agent.recreated",
        "line.stopped",
    }
)
#: What is said again until somebody acts.
_REMINDED = frozenset(
    {
        "rollout.rolled_back",
        "rollout.disabled",
        "rollout.failed",
        PAUSED,
        WAITING,
        HARMED,
        *APPROVED,
        "agent.unreadable",
    }
)
#: After these nothing before them is said again about the agent: somebody knows, or users have a better version.
_ENDS_ALL = frozenset({"rollout.acknowledged", "rollout.promoted", "agent.recreated"})


def severity_of(event: Event) -> Severity:
    """Return how severe ``event`` is; a kind that is not named here is news, and no more."""
    if event.kind in _CRITICAL:
        return Severity.CRITICAL
    return Severity.WARNING if event.kind in _WARNING else Severity.INFO


def is_reminded(event: Event) -> bool:
    """Whether what ``event`` began is said again until it is over."""
    return event.kind in _REMINDED


def ends_all(event: Event) -> bool:
    """Whether nothing that happened to the agent before is said again."""
    return event.kind in _ENDS_ALL


def subject_of(event: Event) -> str:
    """Return what ``event`` is about: the rollout, else the agent."""
    return event.rollout or event.agent


def state_of(event: Event) -> str:
    """Return the state that ``event`` begins or goes on with; that somebody is waited for is all that a pause is."""
    kind = PAUSED if event.kind == WAITING and event.waits_for == Waiting.PERSON else event.kind
    return kind if event.step is None else f"{kind}/{event.step}"


def phase_of(event: Event) -> Phase | None:
    """Return the phase of the rollout after ``event``; None: it is about no rollout."""
    if event.rollout is None:
        return None
    # Events of earlier releases do not say it.
    named = event.phase or event.kind.rpartition(".")[2]
    if named in Phase.__members__.values():
        return Phase(named)
    return Phase.PROGRESSING if event.step else Phase.PENDING


@dataclass(frozen=True, slots=True)
class Thread:
    """What one target heard of one state: the newest event, and how often it heard of it."""

    first_at: datetime  #: When the state was first to be announced.
    said_at: datetime | None = None  #: When the target last confirmed a message; None: it has none yet.
    repeats: int = 0  #: Events that are merged since.
    closed_at: datetime | None = None  #: Something else happened to the subject; None: the state lasts.
    due_at: datetime | None = None  #: When the next message is to be sent; None: there is none.

    @property
    def is_announced(self) -> bool:
        return self.said_at is not None


def heard(before: Thread | None, now: datetime) -> Thread:
    """Return the thread after an event of its state; an event of a new state is due at once."""
    if before is None or _is_over(before, now):
        return Thread(first_at=now, due_at=now)
    if before.said_at is None:  # The first message waits: it will say the newest.
        return Thread(before.first_at, None, before.repeats + 1, None, before.due_at or now)
    due_at = before.due_at or max(now, reminder_after(before.first_at, before.said_at))
    return Thread(before.first_at, before.said_at, before.repeats + 1, None, due_at)


def confirmed(before: Thread, now: datetime, *, merged: int, is_reminded: bool) -> Thread:
    """Return the thread once a message that said ``merged`` repeats is confirmed, or given up."""
    left = max(before.repeats - merged, 0)
    is_on = before.closed_at is None and (is_reminded or left > 0)
    due_at = reminder_after(before.first_at, now) if is_on else None
    return Thread(before.first_at, now, left, before.closed_at, due_at)


def closed(before: Thread, now: datetime) -> Thread:
    """Return the thread once its state is over: a first message that waits is sent all the same, no reminder is."""
    due_at = None if before.is_announced else before.due_at
    return Thread(before.first_at, before.said_at, before.repeats, before.closed_at or now, due_at)


def _is_over(before: Thread, now: datetime) -> bool:
    return before.closed_at is not None and now - before.closed_at >= SETTLES_AFTER and before.is_announced
