"""A session's log: the recent tail that every new reader sees first, and the news after it."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from foundry_emulator.clock import EmulatedClock

TAIL_LINES = 300
KEPT_LINES = 3000  #: A reader that is slower than an agent that writes a lot misses nothing.
CONNECTION_SECONDS = 30 * 60
IDLE_SECONDS = 2 * 60
STATUS_SECONDS = 60

Stream = Literal["stdout", "stderr", "status"]


@dataclass(frozen=True, slots=True)
class LogFrame:
    """One line as the log stream carries it."""

    timestamp: str
    stream: Stream
    message: str

    def encode(self) -> bytes:
        """Return the server-sent event: ``event: log``, one JSON line, a blank line."""
        return event({"timestamp": self.timestamp, "stream": self.stream, "message": self.message})


def event(data: dict[str, object]) -> bytes:
    """Return one ``log`` event."""
    return f"event: log\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


class LogTail:
    """The last lines of one session and a bell for those who follow it."""

    def __init__(self, clock: EmulatedClock) -> None:
        self._clock = clock
        self._frames: deque[LogFrame] = deque(maxlen=KEPT_LINES)
        self._written = 0
        self._bell = asyncio.Event()
        self.is_open = True

    def write(self, stream: Stream, message: str) -> None:
        """Append one line and wake the followers."""
        self._frames.append(LogFrame(self._clock.stamp(), stream, message))
        self._written += 1
        self._ring()

    def reopen(self) -> None:
        """Let readers follow again: the session has a sandbox."""
        self.is_open = True

    def close(self) -> None:
        """End every follower: the sandbox is gone."""
        self.is_open = False
        self._ring()

    async def follow(self, tail: int = TAIL_LINES) -> AsyncIterator[bytes]:
        """Yield the recent lines, then news until the sandbox goes or a time limit of the cloud is reached."""
        seen = max(self._written - min(tail, len(self._frames)), 0)
        started = quiet_since = spoke_at = self._clock.now()
        while True:
            bell = self._bell
            # More may be written while these are sent.
            news, seen = self._since(seen), self._written
            for frame in news:
                yield frame.encode()
                quiet_since = spoke_at = self._clock.now()
            if seen < self._written:
                continue
            now = self._clock.now()
            if not self.is_open or now - started >= CONNECTION_SECONDS or now - quiet_since >= IDLE_SECONDS:
                return
            if now - spoke_at >= STATUS_SECONDS:
                yield LogFrame(self._clock.stamp(), "status", "No logs since last 60 seconds").encode()
                spoke_at = now
            await self._wait(bell, min(spoke_at + STATUS_SECONDS, quiet_since + IDLE_SECONDS) - now)

    async def _wait(self, bell: asyncio.Event, seconds: float) -> None:
        # Waking twice a second at most keeps pace with a clock whose speed is changed on the way.
        try:
            async with asyncio.timeout(max(min(seconds / self._clock.speed, 0.5), 0.005)):
                await bell.wait()
        except TimeoutError:
            pass

    def _since(self, seen: int) -> list[LogFrame]:
        missing = min(self._written - seen, len(self._frames))
        return list(self._frames)[len(self._frames) - missing :] if missing else []

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()
