"""What is asked of those who tell others what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Flag, auto
from typing import Protocol

from foundry_rollouts.core.model.event import Event


class Audience(Flag):
    """Who is there to hear of an event: for each, something is written with it that is to be sent."""

    NOBODY = 0
    RECEIVER = auto()  #: The webhook, which gets every event.
    TARGETS = auto()  #: Those that get what they are to hear.


@dataclass(frozen=True, slots=True)
class Message:
    """An event that the receiver has yet to get; ``number`` is its place in the history of everything."""

    number: int
    event: Event
    attempts: int  #: How often it was claimed, this time included.


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait, and when the oldest of their events happened; None: none waits."""

    pending: int
    oldest: datetime | None


class Outbox(Protocol):
    """Messages that are recorded and not yet sent. Raises StoreError when the database is away."""

    async def backlog(self) -> Backlog: ...

    async def take_messages(self, now: datetime, limit: int, until: datetime) -> Sequence[Message]:
        """Claim at most ``limit`` due messages until ``until``: the oldest of each rollout, no other.

        Nobody else is given them before that time; whoever has not delivered one by then leaves it to others.
        """

    async def mark_delivered(self, message: Message) -> None:
        """Forget a message: the receiver has it."""

    async def postpone(self, message: Message, due_at: datetime, because: str) -> None:
        """Put a message back, to be tried again; nothing happens when others have taken it meanwhile."""

    async def give_up(self, message: Message, now: datetime, because: str) -> None:
        """Keep a message as undelivered, and try no more."""

    async def retire(self, before: datetime, now: datetime, because: str) -> int:
        """Give up every message that waits whose event happened before that time; return how many."""


class Notifier(Protocol):
    """Tells others what happened."""

    async def drain(self) -> None:
        """Send every message that is due. Raises StoreError when the database is away, never for a receiver."""
