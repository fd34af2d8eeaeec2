"""The course of a rollout as points of charts: evidence, rates and weights over time.

``replayed.py`` judges what was recorded over again, tick by tick, as ``explain`` does; here its ticks become points.
Each chart is thinned on the server.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import Gate, Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.replay.recorded import ReplayedTick
from foundry_rollouts.operations.progress import against, in_favour, shown

ROWS = 120  #: Points of one chart at most, beside those around a change of weight.
FEWEST_CALLS = 40  #: Below so many calls of a version no rate of it is shown.
SPAN = timedelta(minutes=1)  #: A rate is a mean of so long at least.
LONGEST_SPAN = timedelta(minutes=15)
SURE = 1.96  #: 95 percent of a normal law lie within so many deviations.

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What one gate said at one point, at the step of that time."""

    gate: str
    verdict: Verdict
    harm_log10: float
    safe_log10: float
    at_most_worse: float | None


@dataclass(frozen=True, slots=True)
class EvidencePoint:
    """The evidence at one instant, as powers of ten; over all gates, and gate by gate."""

    at: datetime
    step: int
    weight: int  #: As it really was.
    harm_log10: float | None
    safe_log10: float | None
    at_most_worse: float | None
    verdict: Verdict
    gates: tuple[GateEvidence, ...]


@dataclass(frozen=True, slots=True)
class RatePoint:
    """Shares of calls up to one instant, as fractions; None where too few calls were seen to say one."""

    at: datetime
    canary: float | None
    canary_low: float | None  #: With ``canary_high``, the 95 percent range of the canary's share.
    canary_high: float | None
    stable: float | None
    tolerated: float | None
    canary_calls: int  #: In the span, and so are the next three.
    canary_failures: int
    stable_calls: int
    stable_failures: int


@dataclass(frozen=True, slots=True)
class RateSeries:
    """One gate over time, by the source that saw most of the users' calls."""

    gate: str
    stratum: str
    slower_than_seconds: float | None  #: Of a latency gate: what counts as slow.
    points: tuple[RatePoint, ...]


@dataclass(frozen=True, slots=True)
class WeightPoint:
    """The canary's weight, and its share of the users' calls of the last while; None where too few were seen."""

    at: datetime
    weight: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to draw a line at."""

    at: datetime
    kind: str
    because: str
    weight: int | None


@dataclass(frozen=True, slots=True)
class Series:
    """All charts of one rollout."""

    rollout: str
    agent: str
    canary: str
    stable: str | None
    harm_enough_log10: float
    safe_enough_log10: float
    evidence: tuple[EvidencePoint, ...]
    rates: tuple[RateSeries, ...]
    weights: tuple[WeightPoint, ...]
    marks: tuple[Mark, ...]


def evidence_point(policy: Policy, tick: ReplayedTick) -> EvidencePoint:
    """Return what the gates said at one tick."""
    readings = tick.analysis.gates
    gates = tuple(
        GateEvidence(
            each.gate, each.verdict, shown(as_log10(each.harm_log)), shown(as_log10(each.safe_log)), each.at_most_worse
        )
        for each in readings
    )
    return EvidencePoint(
        at=tick.now,
        step=tick.rollout.step,
        weight=tick.weight,
        harm_log10=against(policy, readings),
        safe_log10=in_favour(policy, readings),
        at_most_worse=min((each.at_most_worse for each in gates if each.at_most_worse is not None), default=None),
        verdict=tick.analysis.verdict,
        gates=gates,
    )


def rate_points(policy: Policy, gate: Gate, counted: Iterable[tuple[datetime, Tally]]) -> list[RatePoint]:
    """Return the rates over time of what one source ``counted`` in all by each instant."""
    return [_rate_point(policy, gate, at, seen) for at, seen in _recent(counted)]


def weight_points(
    weights: Sequence[int], counted: Iterable[tuple[datetime, Tally]], *, is_telling: bool
) -> list[WeightPoint]:
    """Return the weights with the share of calls; where the source divides its calls itself, they tell nothing."""
    return [
        WeightPoint(at, weight, _part(seen.canary_calls, seen.calls) if is_telling else None)
        for weight, (at, seen) in zip(weights, _recent(counted), strict=True)
    ]


def mark_of(event: Event, rollout: Rollout) -> Mark:
    """Return the moment of an event."""
    return Mark(event.at, event.kind, event.because, (event.weights or {}).get(rollout.canary))


def chosen(weights: Sequence[int]) -> list[int]:
    """Return the places of the points to show: evenly, the last one, and those around a change of weight.

    Which points are shown does not change with each new one, but where there are twice as many.
    """
    count = len(weights)
    every = 2 ** max(math.ceil(math.log2(count / ROWS)), 0) if count else 1
    return [place for place in range(count) if place % every == 0 or place == count - 1 or _is_turn(weights, place)]


def _is_turn(weights: Sequence[int], place: int) -> bool:
    return weights[place] != weights[max(place - 1, 0)] or weights[place] != weights[min(place + 1, len(weights) - 1)]


@dataclass(slots=True)
class _Recent:
    """The calls of the last while: of a minute, or of as long as it takes to see enough of them."""

    seen: deque[tuple[datetime, Tally]] = field(default_factory=deque)
    sum: Tally = Tally()

    def add(self, at: datetime, tally: Tally) -> Tally:
        """Take in what was counted up to ``at``, and return the sum of the last while."""
        self.seen.append((at, tally))
        self.sum = self.sum + tally
        while len(self.seen) > 1 and self._may_go(at):
            self.sum = _less(self.sum, self.seen.popleft()[1])
        return self.sum

    def _may_go(self, now: datetime) -> bool:
        oldest, tally = self.seen[0]
        left = _less(self.sum, tally)
        is_enough = min(left.canary_calls, left.stable_calls) >= FEWEST_CALLS
        return now - oldest >= LONGEST_SPAN or (now - oldest >= SPAN and is_enough)


def _recent(counted: Iterable[tuple[datetime, Tally]]) -> Iterable[tuple[datetime, Tally]]:
    recent, before = _Recent(), Tally()
    for at, total in counted:
        yield at, recent.add(at, _less(total, before))
        before = total


def _less(whole: Tally, part: Tally) -> Tally:
    return Tally(
        whole.canary_calls - part.canary_calls,
        whole.canary_failures - part.canary_failures,
        whole.stable_calls - part.stable_calls,
        whole.stable_failures - part.stable_failures,
    )


def _rate_point(policy: Policy, gate: Gate, at: datetime, seen: Tally) -> RatePoint:
    canary, stable = _part(seen.canary_failures, seen.canary_calls), _part(seen.stable_failures, seen.stable_calls)
    low, high = wilson(seen.canary_failures, seen.canary_calls) if canary is not None else (None, None)
    lines = [] if stable is None else [policy.judge.tolerate.of(stable)]
    lines += [] if gate.max is None else [gate.max]
    return RatePoint(
        at=at,
        canary=canary,
        canary_low=low,
        canary_high=high,
        stable=stable,
        tolerated=round(min(lines), 6) if lines else None,
        canary_calls=seen.canary_calls,
        canary_failures=seen.canary_failures,
        stable_calls=seen.stable_calls,
        stable_failures=seen.stable_failures,
    )


def _part(some: int, calls: int) -> float | None:
    return round(some / calls, 6) if calls >= FEWEST_CALLS else None


def wilson(failures: int, calls: int) -> tuple[float, float]:
    """Return the 95 percent range of a share, by Wilson's score."""
    rate, square = failures / calls, SURE**2 / calls
    middle = (rate + square / 2) / (1 + square)
    half = math.sqrt(rate * (1 - rate) * square + square**2 / 4) / (1 + square)
    return round(max(middle - half, 0.0), 6), round(min(middle + half, 1.0), 6)
