"""The emulator's clock: the only place here that reads the time, at a speed that tests may change."""

import asyncio
import time
from datetime import UTC, datetime


class EmulatedClock:
    """Time that starts at the wall clock and runs ``speed`` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._anchor = time.time()  # noqa: TID251 - the emulator shares no code, so it has a clock of its own
        self._anchor_tick = time.monotonic()

    @property
    def speed(self) -> float:
        """How many emulated seconds pass in a real one."""
        return self._speed

    def run_at(self, speed: float) -> None:
        """Change the speed from now on, without a jump."""
        self._anchor, self._anchor_tick = self.now(), time.monotonic()
        self._speed = speed

    def now(self) -> float:
        """Return the emulated time in unix seconds."""
        return self._anchor + (time.monotonic() - self._anchor_tick) * self._speed

    def stamp(self) -> str:
        """Return the emulated time as log frames carry it."""
        return self.stamp_of(self.now())

    @staticmethod
    def stamp_of(moment: float) -> str:
        """Return unix seconds as RFC 3339 with milliseconds."""
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def sleep(self, seconds: float) -> None:
        """Wait for so many emulated seconds, following changes of speed on the way."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:  # noqa: ASYNC110 - there is no event: time itself is awaited
            await asyncio.sleep(min(left / self._speed, 0.5))
