"""What was measured, as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any


@dataclass(frozen=True, slots=True)
class Level:
    """How a service does with so many rollouts in progress, over one window."""

    rollouts: int
    seconds: float  #: How long it was measured.
    ticks: float
    lag_p50: float  #: Seconds; the upper end of a histogram's bucket.
    lag_p99: float
    processor_ms: float  #: Of the service, for each tick; all that it does beside ticks is in it.
    statements: float  #: For each tick.
    commits: float
    cloud_calls: float  #: For each tick.
    cloud_ms: float  #: Processor of the light Foundry, for each tick.
    core: float  #: How much of one core the service took.
    memory_mib: float
    healthz_p99_ms: float
    metrics_seconds: float
    series: int
    growth_mib_hour: float
    restart_seconds: float  #: From the start of the process until it holds every rollout.

    @property
    def ticks_a_second(self) -> float:
        return self.ticks / self.seconds if self.seconds else 0.0

    @property
    def keeps_up(self) -> bool:
        return self.lag_p99 <= 1.0


@dataclass(frozen=True, slots=True)
class Reaction:
    """How long it takes from a report of failures until the cloud is sent the way back, in seconds."""

    rollouts: int  #: In progress meanwhile.
    p50: float
    p99: float
    asked: int  #: How many canaries were made to fail.
    missing: int = 0  #: How many were not back in time.


@dataclass(frozen=True, slots=True)
class Storm:
    """Many canaries that fail in the same second."""

    canaries: int
    first: float  #: Seconds until the first was back.
    last: float  #: Seconds until the last was; infinite when some were not.
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What a replica that joins holds ten seconds later, and what it should."""

    held: int
    of: int

    @property
    def part(self) -> float:
        return self.held / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Idle:
    """What a service takes that watches many agents without a rollout."""

    agents: int
    memory_mib: float
    core: float  #: How much of one core it takes.
    healthz_p99_ms: float


@dataclass(frozen=True, slots=True)
class Floor:
    """Milliseconds of the processor that plain calls and plain statements take, without a service around them."""

    call: float
    statement: float
    commit: float

    def of(self, level: Level) -> float:
        """Return what the calls and statements of one tick would take."""
        return level.cloud_calls * self.call + level.statements * self.statement + level.commits * self.commit


@dataclass(slots=True)
class Figures:
    """All that was measured in one run; None and empty: it was not."""

    database: str
    cores: int
    levels: list[Level] = field(default_factory=list)
    idle: Reaction | None = None
    loaded: Reaction | None = None
    storm: Storm | None = None
    share: Share | None = None
    floor: Floor | None = None
    agents: Idle | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)  #: What kept a part from being measured.

    @property
    def top(self) -> Level | None:
        return self.levels[-1] if self.levels else None


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which so many percent lie; of few values, nearly the largest."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def lag(before: Mapping[float, float], after: Mapping[float, float], percent: float) -> float:
    """Return the bucket's upper end below which so many percent of the ticks between two scrapes lie."""
    counts = {most: count - before.get(most, 0.0) for most, count in sorted(after.items())}
    total = max(counts.values(), default=0.0)
    return next((most for most, count in counts.items() if total and count >= total * percent / 100), 0.0)
