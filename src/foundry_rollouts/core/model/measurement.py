"""What one source counted in one window, on both versions."""

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from foundry_rollouts.core.model.failures import ErrorKind, kind_of

K = TypeVar("K", str, int)

#: Latencies fall into buckets whose edges grow by a tenth each: bucket ``k`` ends at ``1.1 ** k`` milliseconds.
GROWTH = math.log(1.1)

Tallied = tuple[tuple[str, int], ...]  #: Pairs of a name and how often.
Histogram = tuple[tuple[int, int], ...]  #: Pairs of a bucket and how often, sorted; such pairs add up.


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open span ``[start, end)``."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class Counts:
    """What one version did: samples, how many failed and why, how many wrote an error line, how slow they were.

    A call that was refused as its caller's mistake is no failure: it is counted in ``client_errors``. One that failed
    because the agent's model refused it for its rate or its quota is a failure, and counted in ``rate_limited`` too.
    """

    calls: int = 0
    failures: int = 0
    log_errors: int = 0
    causes: Tallied = ()
    latencies: Histogram = ()
    client_errors: int = 0
    rate_limited: int = 0  #: Of the failures.
    new_sessions: int = 0  #: Sessions of users that began; a call that names none tells nothing of them.
    heard: int = field(default=0, compare=False)  #: Calls that were heard of: they say how fresh the counts are.
    values: tuple[tuple[str, float], ...] = ()  #: Numbers that are no counts, by name; they do not add up.
    unread: tuple[tuple[str, str], ...] = ()  #: Those that cannot be read, by name, and why.

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.calls + other.calls,
            self.failures + other.failures,
            self.log_errors + other.log_errors,
            _merged(self.causes, other.causes),
            _merged(self.latencies, other.latencies),
            self.client_errors + other.client_errors,
            self.rate_limited + other.rate_limited,
            self.new_sessions + other.new_sessions,
            self.heard + other.heard,
            other.values or self.values,
            other.unread or self.unread,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One counted call; ``cause`` names why it failed and is None when it did well."""

    cause: str | None = None
    latency: timedelta | None = None
    has_log_error: bool = False

    def as_counts(self) -> Counts:
        kind = kind_of(self.cause)
        is_client_error = kind is ErrorKind.CLIENT_ERROR
        return Counts(
            calls=1,
            failures=int(self.cause is not None and not is_client_error),
            client_errors=int(is_client_error),
            rate_limited=int(kind is ErrorKind.RATE_LIMITED),
            log_errors=int(self.has_log_error),
            causes=((self.cause, 1),) if self.cause else (),
            latencies=((bucket_of(self.latency), 1),) if self.latency is not None else (),
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """One source's counts of one window.

    ``source`` may carry a stratum behind a slash (``logs/probe``): counts of different strata are never pooled.
    ``trouble`` says why the source could not count, when it could not; that is never held against a canary. A ``note``
    is for the history, and changes nothing. ``sight`` says how much of what there is the source did not see; what it
    saw counts all the same.
    """

    source: str
    window: Window
    stable: Counts = field(default_factory=Counts)
    canary: Counts = field(default_factory=Counts)
    trouble: str | None = None
    note: str | None = field(default=None, compare=False)
    sight: str | None = field(default=None, compare=False)


def bucket_of(latency: timedelta) -> int:
    """Return the number of the bucket that ``latency`` falls into."""
    milliseconds = max(latency.total_seconds() * 1000.0, 1.0)
    return math.ceil(math.log(milliseconds) / GROWTH)


def seconds_of(bucket: int) -> float:
    """Return the upper edge of ``bucket`` in seconds."""
    return math.exp(bucket * GROWTH) / 1000.0


def quantile(histogram: Histogram, share: float) -> int | None:
    """Return the bucket below whose upper edge ``share`` of the calls lie; None when there are none."""
    total, seen = sum(count for _, count in histogram), 0
    for bucket, count in histogram:
        seen += count
        if seen >= share * total:
            return bucket
    return None


def _merged(one: tuple[tuple[K, int], ...], other: tuple[tuple[K, int], ...]) -> tuple[tuple[K, int], ...]:
    if not (one and other):
        return one or other
    return tuple(sorted((Counter(dict(one)) + Counter(dict(other))).items()))
