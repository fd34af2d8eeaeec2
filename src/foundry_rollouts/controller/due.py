"""When which agent is ticked next: a heap in memory of those whose leases this replica holds.

What was woken goes before what is due by routine, however long that has waited: harm waits for nobody.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from heapq import heapify, heappop, heappush

#: So many entries that count no more are kept before the heaps are cleared of them.
SLACK = 64


class Urgency(IntEnum):
    """Why an agent is due; the least goes first."""

    WOKEN = 0  #: A failure, a command, a rollback, or a change that is still open.
    ROUTINE = 1


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    urgency: Urgency
    at: datetime
    number: int
    agent: str


@dataclass(slots=True)
class DueTimes:
    """The due time of each agent; each has one, the soonest and the most urgent that was named."""

    _valid: dict[str, _Entry] = field(default_factory=dict)
    _later: list[tuple[datetime, int, _Entry]] = field(default_factory=list)
    _ready: list[_Entry] = field(default_factory=list)
    _number: int = 0

    def __len__(self) -> int:
        return len(self._valid)

    def at(self, agent: str) -> datetime | None:
        """Return when ``agent`` is due; None where nothing is planned."""
        entry = self._valid.get(agent)
        return entry.at if entry else None

    def plan(self, agent: str, at: datetime, urgency: Urgency = Urgency.ROUTINE) -> None:
        """Let ``agent`` be due at that time; what was woken is due at once, whatever the time is."""
        before = self._valid.get(agent)
        if before is not None:
            at, urgency = min(at, before.at), min(urgency, before.urgency)
            if (at, urgency) == (before.at, before.urgency):
                return
        self._number += 1
        entry = self._valid[agent] = _Entry(urgency, at, self._number, agent)
        if urgency is Urgency.WOKEN:
            heappush(self._ready, entry)
        else:
            heappush(self._later, (at, entry.number, entry))
        if len(self._later) + len(self._ready) > 2 * len(self._valid) + SLACK:
            self._clear()

    def forget(self, agent: str) -> None:
        """Let ``agent`` never be due."""
        self._valid.pop(agent, None)

    def pop(self, now: datetime, most: Urgency = Urgency.ROUTINE) -> tuple[str, datetime] | None:
        """Take the agent that goes first of those that are due, with its due time; None: nothing is due.

        With ``most`` nothing is taken that is less urgent.
        """
        self._ripen(now)
        while self._ready and not self._is_valid(self._ready[0]):
            heappop(self._ready)
        if not self._ready or self._ready[0].urgency > most:
            return None
        entry = heappop(self._ready)
        del self._valid[entry.agent]
        return entry.agent, entry.at

    def next_at(self) -> datetime | None:
        """Return when the next agent becomes due that is not due yet."""
        while self._later and not self._is_valid(self._later[0][2]):
            heappop(self._later)
        return self._later[0][0] if self._later else None

    def ready(self, now: datetime) -> int:
        """Return about how many agents are due."""
        self._ripen(now)
        return min(len(self._ready), len(self._valid))

    def _ripen(self, now: datetime) -> None:
        while self._later and self._later[0][0] <= now:
            entry = heappop(self._later)[2]
            if self._is_valid(entry):
                heappush(self._ready, entry)

    def _clear(self) -> None:
        self._later = [each for each in self._later if self._is_valid(each[2])]
        self._ready = [each for each in self._ready if self._is_valid(each)]
        heapify(self._later)
        heapify(self._ready)

    def _is_valid(self, entry: _Entry) -> bool:
        return self._valid.get(entry.agent) is entry
