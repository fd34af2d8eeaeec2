"""Who goes first: a rollback shares the cloud's budget with probes, logs and discovery, and waits for none of them.

The cloud counts all our calls together. While it throttles a call that takes a canary back, all others of this process
wait for a moment, so that what the cloud still allows is the rollback's. Where many canaries are rolled back at once,
all that no decision waits for gives way before anything is throttled.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.retry import RetryBudget
from foundry_rollouts.ports.priority import Priority

#: How long an urgent call pauses at most, whatever the cloud asks, and how often it is tried.
MOST, ATTEMPTS = timedelta(seconds=0.5), 10
#: So many rollbacks under way at once go before all that no decision waits for.
MANY = 8


@dataclass(frozen=True, slots=True)
class PriorityTimings:
    """How long calls wait for more urgent ones, and how long a brief one may take."""

    yield_limit: timedelta = timedelta(seconds=5)  #: How long a call waits at most for those that are urgent.
    brief_limit: timedelta = timedelta(seconds=4)  #: Of a read for which a decision waits, and of each of its tries.


DEFAULT_TIMINGS = PriorityTimings()


def budget_of(urgency: Priority, usual: RetryBudget, timings: PriorityTimings = DEFAULT_TIMINGS) -> RetryBudget:
    """Return how patient a call may be."""
    match urgency:
        case Priority.INTERACTIVE:
            return replace(usual, total=min(usual.total, timings.brief_limit))
        case Priority.ROLLBACK:
            first, most = min(usual.first, MOST / 10), min(usual.most, MOST)
            jitter = min(usual.jitter, MOST / 10)
            return replace(usual, attempts=ATTEMPTS, first=first, most=most, jitter=jitter, obeys=MOST)
        case _:
            return usual


class PriorityQueue:
    """Lets the calls of one transport give way to those that are urgent and throttled."""

    def __init__(self, timings: PriorityTimings = DEFAULT_TIMINGS) -> None:
        self._yield_limit = timings.yield_limit
        self._pressed = 0
        self._is_free = asyncio.Event()
        self._is_free.set()
        self._rollbacks = 0
        self._are_few = asyncio.Event()
        self._are_few.set()

    async def yield_to_urgent(self) -> None:
        """Wait while an urgent call is throttled, a few seconds at most."""
        await self._until(self._is_free)

    async def yield_to_many(self) -> None:
        """Wait while many rollbacks are under way or one is throttled, a few seconds at most for each."""
        await self._until(self._are_few)
        await self._until(self._is_free)

    async def _until(self, event: asyncio.Event) -> None:
        if not event.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), self._yield_limit.total_seconds())

    @contextmanager
    def of(self, urgency: Priority) -> Iterator["Ticket"]:
        """Return the place of one call among the others, until it is over."""
        place = Ticket(self, urgency)
        if place.is_first:
            self._count_rollbacks(1)
        try:
            yield place
        finally:
            if place.is_first:
                self._count_rollbacks(-1)
            if place.is_pressing:
                self.throttle_others(-1)

    def _count_rollbacks(self, by: int) -> None:
        self._rollbacks += by
        if self._rollbacks >= MANY:
            self._are_few.clear()
        else:
            self._are_few.set()

    def throttle_others(self, by: int) -> None:
        self._pressed += by
        if self._pressed:
            self._is_free.clear()
        else:
            self._is_free.set()


class Ticket:
    """One call among the others."""

    def __init__(self, precedence: PriorityQueue, urgency: Priority) -> None:
        self._precedence = precedence
        self._urgency = urgency
        self.is_pressing = False

    @property
    def is_first(self) -> bool:
        """Whether it waits for nobody."""
        return self._urgency is Priority.ROLLBACK

    async def turn(self) -> None:
        """Wait for its turn; an urgent call has it at once."""
        if self._urgency is Priority.USUAL:
            await self._precedence.yield_to_many()
        elif not self.is_first:
            await self._precedence.yield_to_urgent()

    def refused(self, error: CloudError) -> None:
        """Take note of a refusal: where an urgent call is throttled, the others wait from here on."""
        if self.is_first and error.refusal.status == 429 and not self.is_pressing:
            self.is_pressing = True
            self._precedence.throttle_others(1)
