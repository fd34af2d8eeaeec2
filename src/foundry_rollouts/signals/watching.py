"""What is known of one rollout whose logs are read: its sessions, and how far each of them was followed."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import LogLine, LogMemory, SessionSeen
from foundry_rollouts.signals.limits import CircuitBreaker, cloud_breaker
from foundry_rollouts.signals.loglines import CallReader
from foundry_rollouts.signals.samples import SampleBuffer
from foundry_rollouts.signals.streams import Demand

#: A stream that was refused before and is open for so long is read again.
SETTLED = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class LogTimings:
    """How often sessions are listed and their logs opened."""

    list_every: timedelta = timedelta(seconds=1)  #: What a session shorter than this logs may pass unseen.
    list_limit: timedelta = timedelta(seconds=30)  #: A cloud that takes longer to list sessions is silent.
    page: int = 100  #: Sessions that one request lists; where there are more, the old ones are listed less often.
    reopen_after: timedelta = timedelta(seconds=2)  #: The pause before a stream that ended is opened again.


DEFAULT_TIMINGS = LogTimings()


@dataclass(slots=True)
class Followed:
    """One session, over as many streams as it takes."""

    session: SessionSeen
    since: datetime  #: Lines before this were counted by an earlier process.
    is_ours: bool = False
    memory: LogMemory = field(default_factory=LogMemory)
    reader: CallReader = field(default_factory=CallReader)
    stream: asyncio.Task[None] | None = None
    trouble: str | None = None  #: Of our own, at the last try.
    opened_at: datetime | None = None
    heard_at: datetime | None = None  #: When the last line was written.
    is_read: bool = False  #: Its last stream was read to the end; one that was cut tells nothing of how it ended.

    def is_troubled(self, now: datetime) -> bool:
        """Whether the stream cannot be read; one that was opened again and lasts is merely silent."""
        lasts = self.is_open and self.opened_at is not None and now - self.opened_at > SETTLED
        return self.trouble is not None and not lasts

    def is_too_old(self, line: LogLine) -> bool:
        """Whether ``line`` was counted by an earlier process."""
        return line.at is not None and line.at <= self.since

    @property
    def is_open(self) -> bool:
        return self.stream is not None and not self.stream.done()

    def cut(self) -> None:
        """Read no more of it, as others are to be read; what was read stays known, and is not counted again."""
        self.trouble = None
        if self.stream is not None:
            self.stream.cancel()

    @property
    def stratum(self) -> str:
        return "logs/probe" if self.is_ours else "logs"


@dataclass(slots=True)
class Watch:
    """One rollout whose sessions are followed."""

    rollout: Rollout
    limit: int  #: Streams for each version.
    tallies: SampleBuffer
    since: datetime  #: Lines before this were counted by an earlier process, or are not ours to count.
    followed: dict[str, Followed] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)  #: Sessions of the last whole read whose failure is counted.
    lived: set[str] = field(default_factory=set)  #: Sessions of the last whole read that may have had a sandbox.
    live: Counter[str] = field(default_factory=Counter)  #: How many sessions live, by version, by the last read.
    begun: dict[str, datetime] = field(default_factory=dict)  #: Sessions that were counted as new ones lately.
    looked_at: datetime | None = None
    step: int = 0  #: Of the rollout, by now.
    skips: int = 0  #: So many reads of new sessions only come before the next one of all of them.
    reads: CircuitBreaker = field(default_factory=cloud_breaker)
    streams: CircuitBreaker = field(default_factory=cloud_breaker)
    task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, rollout: Rollout, limit: int, since: datetime) -> "Watch":
        return cls(rollout, limit, SampleBuffer.of("logs", "logs/probe"), since)

    def trouble(self, now: datetime) -> str | None:
        """Return why sessions cannot be listed, or else why a stream cannot be read."""
        if self.reads.failures:
            return self.reads.because
        return next((each.trouble for each in self.followed.values() if each.is_troubled(now)), None)

    def open_of(self, version: str | None) -> list[Followed]:
        """Return the sessions of a version that are being followed, those that have been for longest first."""
        return [each for each in self.followed.values() if each.session.version == version and each.is_open]

    def count(self, sessions: Iterable[SessionSeen]) -> None:
        """Count those that live; a read of new sessions only misses old ones that are not followed."""
        live = Counter(each.version for each in sessions if each.status.is_live)
        self.live = self.live | live if self.skips else live

    @property
    def demand(self) -> Demand:
        """How many sessions are worth a stream; one is kept for the first session of each version."""
        versions = self.rollout.stable or "", self.rollout.canary
        stable, canary = (max(1, min(self.limit, self.live[version])) for version in versions)
        return Demand(self.step, (stable, canary))

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        streams = (followed.stream for followed in self.followed.values())
        return [task for task in (self.task, *streams) if task]
