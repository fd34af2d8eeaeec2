"""What is asked of those who notify people: notices, each for one target, and the targets themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Rollout


@dataclass(frozen=True, slots=True)
class News:
    """An event that no target was chosen for yet; ``number`` is its place in the history of everything."""

    number: int
    event: Event
    rollout: Rollout | None  #: As it stands by now; None: the event is about an agent.
    policy: str | None  #: Of the rollout, else of the agent.


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one target, the newest event of a state."""

    id: int
    key: str  #: The same message has the same key each time it is sent.
    turn: str  #: Which message of its state it is.
    target: str
    event: Event
    rollout: Rollout | None
    attempts: int  #: How often it was claimed, this time included.
    since: datetime  #: When it was first to be sent.
    repeats: int  #: Events that are merged into it.
    is_reminder: bool


@dataclass(frozen=True, slots=True)
class TargetState:
    """How the notices to one target fare."""

    target: str
    pending: int = 0  #: Notices that are due, or tried again.
    oldest: datetime | None = None  #: Since when the oldest of them waits.
    given_up: int = 0
    trouble: str | None = None  #: Why the last attempt came to nothing; None: it did not.


@dataclass(frozen=True, slots=True)
class NoticeWork:
    """What there is to do by now."""

    news: int = 0
    targets: Sequence[TargetState] = ()  #: Those for which something waits; of what was given up they say nothing.


class NoticeStates(Protocol):
    """How notices fare."""

    async def target_states(self, now: datetime) -> Sequence[TargetState]:
        """Return how the notices to each target fare that has any."""


class NoticeBox(NoticeStates, Protocol):
    """Notices that are recorded and not yet sent. Raises StoreError when the database is away."""

    async def distribute(self, now: datetime, limit: int, choose: Callable[[News], Sequence[str]]) -> int:
        """Turn at most ``limit`` news, oldest first, into notices to those whom ``choose`` names; return how many."""

    async def take_notices(self, target: str, now: datetime, limit: int, until: datetime) -> Sequence[Notice]:
        """Claim at most ``limit`` due notices to ``target`` until then; the states of one subject begin in order."""

    async def mark_sent(self, notice: Notice, now: datetime) -> None:
        """The target has it: the next one is a reminder, or what was merged meanwhile."""

    async def put_off(self, notice: Notice, due_at: datetime, because: str | None) -> None:
        """Put a notice back until then; without a reason it was not tried, and no attempt counts."""

    async def drop(self, notice: Notice, now: datetime, because: str) -> None:
        """Give a notice up; a reminder of its state comes at its time."""

    async def notice_work(self, now: datetime) -> NoticeWork:
        """Return what there is to do: how many news there are, and how many notices wait for each target."""

    async def forget_notices(self, known: Sequence[str], before: datetime) -> int:
        """Forget what is over, and what is for targets that are not ``known``, both since then; return how many."""


@dataclass(frozen=True, slots=True)
class TargetShown:
    """A target as people see it: its address is a secret."""

    name: str
    kind: str
    severity: str
    policies: Sequence[str]
    phases: Sequence[str]
    quiet: str | None


class Targets(Protocol):
    """The targets that are configured."""

    def shown(self) -> Sequence[TargetShown]: ...

    async def test(self, name: str) -> None:
        """Send a test message. Raises NotFoundError, or UnavailableError when the target does not take it."""
