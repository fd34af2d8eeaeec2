"""How sources behave towards servers: few requests, little patience, and a rest for one that fails.

Only sources take part in this. What the controller does to the routing never waits here.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.model.backoff import Backoff
from foundry_rollouts.signals.reported import SourceError

#: Failures in a row after which a server is left alone for a while.
FAILURES = 3
RESTS = Backoff(timedelta(seconds=30), timedelta(minutes=5))


@dataclass(slots=True)
class CircuitBreaker:
    """Leaves a server alone that failed several times in a row, each time for twice as long; one try ends the rest."""

    rests: Backoff = RESTS
    failures: int = 0
    open_until: datetime | None = None
    because: str = ""

    def rejection(self, now: datetime) -> str | None:
        """Return why the server is not asked at present; None when it may be."""
        if self.open_until is None or now >= self.open_until:
            return None
        return f"{self.because}; asked again in {round((self.open_until - now).total_seconds())} s"

    def failed(self, because: str, now: datetime) -> None:
        if self.rejection(now):
            return  # One fault meets many requests that are under way at once.
        self.failures += 1
        self.because = because
        if self.failures >= FAILURES:
            self.open_until = now + self.rests.pause(self.failures - FAILURES + 1)

    def answered(self) -> None:
        self.failures, self.open_until = 0, None


def cloud_breaker() -> CircuitBreaker:
    """Return a breaker for the cloud itself, without which a rollout sees nothing: its rests are short."""
    return CircuitBreaker(Backoff(timedelta(seconds=5), timedelta(minutes=1)))


@dataclass(slots=True)
class RateLimiter:
    """So many requests a second; who comes when it is used up waits, and the agents that wait take turns."""

    now: Callable[[], datetime]
    per_second: float = 20.0
    burst: int = 40
    _next: datetime | None = field(default=None)  #: When the bucket, drained at full speed, would be whole again.
    _waiting: dict[str, deque[asyncio.Future[None]]] = field(default_factory=dict)  #: By agent; the first is next.
    _servers: dict[str, "RateLimiter"] = field(default_factory=dict)

    def at(self, server: str) -> "RateLimiter":
        """Return the budget of one server, as large as this one: what it is asked takes nothing from another."""
        if server not in self._servers:
            self._servers[server] = RateLimiter(self.now, self.per_second, self.burst)
        return self._servers[server]

    async def take(self, who: str = "") -> None:
        """Wait for a request of our own, on behalf of the agent ``who``."""
        if (wait := self.spend()) > timedelta(0):
            loop = asyncio.get_running_loop()
            slot: asyncio.Future[None] = loop.create_future()
            self._waiting.setdefault(who, deque()).append(slot)
            loop.call_later(wait.total_seconds(), self._serve)
            await slot

    def spend(self) -> timedelta:
        """Take a request and return how long to wait for it; who must not wait leaves the waiting to others."""
        now, gap = self.now(), timedelta(seconds=1 / self.per_second)
        turn = max(self._next or now, now)
        self._next = turn + gap
        return turn - now - gap * self.burst

    @asynccontextmanager
    async def turn(self, limit: timedelta, who: str = "") -> AsyncIterator[None]:
        """Wait for a request and give it so long. Raises SourceError when it takes longer."""
        await self.take(who)
        try:
            async with asyncio.timeout(limit.total_seconds()):
                yield
        except TimeoutError as error:
            raise SourceError(f"no answer within {limit.total_seconds():g} s") from error

    def _serve(self) -> None:
        """Let one request go: of the agent whose turn it is, which then waits behind the others."""
        while self._waiting:
            who = next(iter(self._waiting))
            queue = self._waiting.pop(who)
            turn = queue.popleft()
            if queue:
                self._waiting[who] = queue
            if not turn.done():
                turn.set_result(None)
                return


def cloud_budget(now: Callable[[], datetime]) -> RateLimiter:
    """Return the budget of all that sources ask of the cloud itself: sessions, their logs, the probe's calls."""
    return RateLimiter(now, per_second=100.0, burst=200)
