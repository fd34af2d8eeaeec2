"""Reading a session's log over many streams, each line once: the log has no cursor.

A stream that is opened again repeats the last lines. They are known by time, stream and text, and each is taken for
a repeat as often as it was read: two equal lines of one instant are two lines, however often they are repeated.
Where a stream ends between two lines that are equal in all three, the second one is lost.
"""

from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from foundry_rollouts.ports.cloud import LogLine

REMEMBERED = 1000  #: Lines; the cloud repeats 300 at most.


class LogMemory:
    """The last lines of all streams of one log."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        # A log may be long and its lines wide: their hashes do.
        self._recent: deque[tuple[int, datetime]] = deque(maxlen=remembered)
        self._may_come_again: Counter[int] = Counter()
        self._forgotten_until: datetime | None = None
        self._is_repeating = False

    async def reading(self, stream: AsyncGenerator[LogLine, None]) -> AsyncGenerator[tuple[LogLine, bool], None]:
        """Yield each line of the next stream, and whether it is new: no line is lost, and none is new twice."""
        self._reopened()
        async with aclosing(stream) as lines:
            async for line in lines:
                yield line, self._is_new(line)

    def _reopened(self) -> None:
        """Note that a stream begins, which may repeat what earlier ones said."""
        self._may_come_again = Counter(known for known, _ in self._recent)
        self._is_repeating = bool(self._recent)

    def _is_new(self, line: LogLine) -> bool:
        """Tell whether ``line`` is new, and remember it. A line without a time is always new."""
        if line.at is None:
            return True
        known = hash(line)
        if self._may_come_again[known] > 0:
            self._may_come_again[known] -= 1
            return False
        if self._is_forgotten(line.at):
            return False
        self._is_repeating = False
        if len(self._recent) == self._recent.maxlen:
            self._forgotten_until = self._recent[0][1]
        self._recent.append((known, line.at))
        return True

    def _is_forgotten(self, at: datetime) -> bool:
        """Whether a stream repeats more than is remembered: its first lines are older than all that is."""
        return self._is_repeating and self._forgotten_until is not None and at <= self._forgotten_until
