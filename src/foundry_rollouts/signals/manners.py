"""How we behave towards servers that give counts: few requests, little patience, and a rest for one that fails."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: Failures in a row after which a server is left alone for a while.
FAILURES = 3
FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=5)


@dataclass(slots=True)
class Breaker:
    """Leaves a server alone that failed several times in a row, each time for twice as long; one try ends the rest."""

    failures: int = 0
    rests_until: datetime | None = None
    because: str = ""

    def refuses(self, now: datetime) -> str | None:
        """Return why the server is not asked at present; None when it may be."""
        if self.rests_until is None or now >= self.rests_until:
            return None
        return f"{self.because}; asked again in {round((self.rests_until - now).total_seconds())} s"

    def failed(self, because: str, now: datetime) -> None:
        self.failures += 1
        self.because = because
        if self.failures >= FAILURES:
            # The exponent is bounded, for a server may be away for days.
            rest = FIRST_REST * 2 ** min(self.failures - FAILURES, 10)
            self.rests_until = now + min(rest, LONGEST_REST)

    def answered(self) -> None:
        self.failures, self.rests_until = 0, None


@dataclass(slots=True)
class Budget:
    """So many requests a second for all sources together; who comes when it is used up waits for its turn."""

    now: Callable[[], datetime]
    per_second: float = 20.0
    burst: int = 40
    _next: datetime | None = field(default=None)  #: When the bucket, drained at full speed, would be whole again.

    async def take(self) -> None:
        """Wait for a request of our own."""
        now, gap = self.now(), timedelta(seconds=1 / self.per_second)
        turn = max(self._next or now, now)
        self._next = turn + gap
        wait = turn - now - gap * self.burst
        if wait > timedelta(0):
            await asyncio.sleep(wait.total_seconds())
