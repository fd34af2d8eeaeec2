"""The dispatcher: claims due messages, sends them to the receiver, retries, and gives up in the end.

At least once: a message is forgotten when the receiver has confirmed it, not before. What the process leaves claimed
when it dies comes to others when its time runs out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from foundry_rollouts.core.model.backoff import Backoff
from foundry_rollouts.errors import UnavailableError
from foundry_rollouts.ports import Message, Outbox
from foundry_rollouts.telemetry import Delivery, Metrics
from foundry_rollouts.untrusted import clean

log = structlog.get_logger()

#: How many messages are on their way at once.
MAX_CONCURRENT = 8
#: How soon to check for what is due while others are on their way.
CHECK_EVERY = timedelta(seconds=1)
#: The first pause after an attempt that came to nothing; each is twice the one before, up to the longest.
LONGEST_PAUSE = timedelta(minutes=5)
BACKOFF = Backoff(timedelta(seconds=1), LONGEST_PAUSE, obeys=LONGEST_PAUSE)
#: How much longer than an attempt may take a message stays claimed: clocks of replicas differ by seconds.
MARGIN = timedelta(seconds=15)


class UndeliveredError(UnavailableError):
    """The receiver does not confirm; the text names neither its address nor anything that it said."""

    def __init__(self, because: str, retry_after: timedelta | None = None) -> None:
        super().__init__(because)
        self.retry_after = retry_after


class Receiver(Protocol):
    """The receiver of notifications."""

    @property
    def limit(self) -> timedelta:
        """How long one attempt may take."""

    async def tell(self, message: Message) -> None:
        """Return when the receiver has confirmed ``message``; raise UndeliveredError when it has not."""

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class Dispatcher:
    """Implements ``ports.Notifier``; without a receiver it only clears what was meant for an earlier one."""

    outbox: Outbox
    receiver: Receiver | None
    metrics: Metrics
    now: Callable[[], datetime]
    patience: timedelta  #: How long after an event its message is tried again.
    chance: Callable[[], float]  #: A number from 0 to 1, another one each time: receivers are not met in step.
    check_every: timedelta = CHECK_EVERY
    _is_lost: bool = field(default=False, init=False)

    async def drain(self) -> None:
        """Send every message that is due, and what becomes due meanwhile; one that hangs holds up no other."""
        sending: set[asyncio.Task[None]] = set()
        try:
            while True:
                sending |= await self._begin(MAX_CONCURRENT - len(sending))
                if not sending:
                    return
                seconds = self.check_every.total_seconds()
                done, _ = await asyncio.wait(sending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                sending -= done
                for task in done:
                    task.result()
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def aclose(self) -> None:
        """Close the receiver; what is still claimed comes to others."""
        if self.receiver is not None:
            await self.receiver.aclose()

    async def _begin(self, room: int) -> set[asyncio.Task[None]]:
        """Claim what is due and begin to send it, so many at most."""
        now = self.now()
        backlog = await self.outbox.backlog()
        self.metrics.outbox(backlog.pending, now - (backlog.oldest or now))
        if backlog.oldest is None or room == 0:
            return set()
        if self.receiver is None:
            await self._retire(backlog.oldest, now)
            return set()
        until = now + self.receiver.limit + MARGIN
        messages = await self.outbox.take_messages(now, room, until)
        return {asyncio.create_task(self._send(message, self.receiver, until)) for message in messages}

    async def _send(self, message: Message, receiver: Receiver, until: datetime) -> None:
        if self.now() + receiver.limit > until:
            return  # The process stood still; others may claim the message before the attempt would end.
        try:
            await receiver.tell(message)
        except UndeliveredError as error:
            await self._try_later(message, error)
            return
        await self.outbox.mark_delivered(message)
        self.metrics.delivery(Delivery.DELIVERED)
        if self._is_lost:
            log.info("receiver.found", because="it confirms messages again")
        self._is_lost = False

    async def _try_later(self, message: Message, error: UndeliveredError) -> None:
        if not self._is_lost:
            log.warning("receiver.lost", because=str(error))
        self._is_lost = True
        now, because = self.now(), clean(str(error))
        if now - message.event.at >= self.patience:
            await self.outbox.give_up(message, now, because)
            self._tell_given_up(1, f"event {message.event.id} after {message.attempts} attempts: {because}")
            return
        await self.outbox.postpone(message, now + self._pause(message, error), because)
        self.metrics.delivery(Delivery.FAILED)

    def _pause(self, message: Message, error: UndeliveredError) -> timedelta:
        """Return how long to wait: longer each time, never in step, and as long as the receiver asks within reason."""
        return BACKOFF.pause(message.attempts, error.retry_after, part=0.5 + self.chance() / 2)

    async def _retire(self, oldest: datetime, now: datetime) -> None:
        if now - oldest < self.patience:
            return  # Another replica may know a receiver, while settings are rolled out.
        because = "no receiver is configured"
        retired = await self.outbox.retire(now - self.patience, now, because)
        if retired:
            self._tell_given_up(retired, because)

    def _tell_given_up(self, count: int, because: str) -> None:
        self.metrics.delivery(Delivery.GIVEN_UP, count)
        log.warning("messages.given_up", count=count, because=because)
