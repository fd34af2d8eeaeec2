"""Kayenta's NetflixACAJudge: a rank test on error rates minute by minute, canary against an equally large baseline.

Canary and baseline get a tenth of the calls each, for an hour; every ten minutes all minutes so far are judged. The
canary is worse when the lower end of the 98 % interval of the shift lies above a quarter of the Hodges-Lehmann estimate
(interval and estimate as in its Mann-Whitney test: normal approximation, continuity and ties corrected, roots found to
its own tolerance). A minute without calls counts as no errors. One metric scores 0 or 100; 0 ends the canary.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import HOUR, Streams

_MINUTE, _EVERY = 60.0, 600.0
_WEIGHT, _TOLERATED, _QUANTILE = 10.0, 0.25, 2.3263478740408408
_TOLERANCE = 1e-4

Point = tuple[float, float]  #: A shift, and the value of a function there.


@dataclass(frozen=True, slots=True)
class Kayenta:
    """An hour at one weight."""

    name: str
    tick: float = 30.0
    patience: float = HOUR + 60.0

    def pilot(self, streams: Streams) -> "KayentaPilot":
        return KayentaPilot(len(streams), streams.dice)


@dataclass(slots=True)
class KayentaPilot:
    """The rollouts under way."""

    runs: int
    dice: np.random.Generator
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _minute: Ints = field(init=False)  #: Calls and failures of canary and baseline in the present minute.
    _canary: list[Floats] = field(default_factory=list)
    _baseline: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.weight, self.ended = np.full(self.runs, _WEIGHT), np.full(self.runs, RUNNING)
        self._minute = np.zeros((4, self.runs), dtype=np.int64)

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        baseline = self.dice.binomial(counts.stable_calls, _WEIGHT / (100 - _WEIGHT))
        failed = self.dice.hypergeometric(
            counts.stable_failures, counts.stable_calls - counts.stable_failures, baseline
        )
        self._minute[:, at] += np.stack([counts.canary_calls, counts.canary_failures, baseline, failed])
        if now % _MINUTE:
            return
        canary_calls, canary_failures, calls, failures = self._minute
        self._canary.append(canary_failures / np.maximum(canary_calls, 1))
        self._baseline.append(failures / np.maximum(calls, 1))
        self._minute = np.zeros_like(self._minute)
        if now % _EVERY == 0:
            canary, baseline_rates = np.stack(self._canary, axis=1), np.stack(self._baseline, axis=1)
            self.ended[[run for run in at if is_high(canary[run], baseline_rates[run])]] = ROLLED_BACK
        if now >= HOUR:
            self.ended[at[self.ended[at] == RUNNING]] = ALL_TRAFFIC


def is_high(canary: Floats, baseline: Floats) -> bool:
    """Return whether a canary with these error rates, minute by minute, is classified as high."""
    if np.array_equal(canary, baseline):
        return False
    minutes = len(canary)
    shifts = np.sort((canary[:, None] - baseline[None, :]).ravel()).tolist()
    both, pairs = 2 * minutes, minutes * minutes
    ties = (_ties(canary) + _ties(baseline)) / (both * (both - 1))
    spread = math.sqrt(max(pairs / 12 * (both + 1 - ties), 0.0))
    if spread == 0.0:
        return False

    def distance(shift: float) -> float:
        """Return how many standard deviations the rank statistic lies above its middle at ``shift``."""
        above = pairs - (bisect_left(shifts, shift) + bisect_right(shifts, shift)) / 2 - pairs / 2
        return (above - math.copysign(0.5, above) * (above != 0)) / spread

    lower = _lower_end(lambda shift: distance(shift) - _QUANTILE, shifts[0], shifts[-1])
    estimate = _root(distance, shifts[0], shifts[-1])
    return lower > _TOLERATED * abs(estimate)


def _ties(rates: Floats) -> float:
    times = np.unique(rates, return_counts=True)[1].astype(np.float64)
    return float((times**3 - times).sum())


def _lower_end(distance: Callable[[float], float], low: float, high: float) -> float:
    if distance(low) <= 0:
        return low
    return high if distance(high) >= 0 else _root(distance, low, high)


def _root(function: Callable[[float], float], a: float, b: float) -> float:
    """Return where ``function`` crosses zero, by Brent's method with the tolerance that Kayenta sets.

    Where many minutes are free of errors the function jumps over zero at a shift of zero, and interval and estimate are
    both as good as this tolerance: what is rounding here decides there, too.
    """
    at_a, at_b = function(a), function(b)
    c, at_c = a, at_a
    for _ in range(1001):
        if at_a == 0 or at_b == 0:
            break
        before = b - a
        if abs(at_c) < abs(at_b):
            a, b, c = b, c, b
            at_a, at_b, at_c = at_b, at_c, at_b
        least, half = 2 * 2.22e-16 * abs(b) + _TOLERANCE / 2, (c - b) / 2
        if abs(half) <= least:
            break
        step = _interpolated((a, at_a), (b, at_b), (c, at_c), least) if abs(before) >= least else None
        step = half if step is None or abs(step) >= abs(before / 2) else step
        a, at_a = b, at_b
        b += step if abs(step) >= least else math.copysign(least, half)
        at_b = function(b)
        if (at_b > 0) == (at_c > 0):
            c, at_c = a, at_a
    return b if at_a else a


def _interpolated(a: Point, b: Point, c: Point, least: float) -> float | None:
    """Return the step that interpolation proposes from ``b``; None where it would leave the bracket."""
    if abs(a[1]) <= abs(b[1]):
        return None
    width = c[0] - b[0]
    if a[0] == c[0]:
        slope = b[1] / a[1]
        p, q = width * slope, 1 - slope
    else:
        q, r, s = a[1] / c[1], b[1] / c[1], b[1] / a[1]
        p, q = s * (width * q * (q - r) - (b[0] - a[0]) * (r - 1)), (q - 1) * (r - 1) * (s - 1)
    p, q = (p, -q) if p > 0 else (-p, q)
    return p / q if p < 0.75 * width * q - abs(least * q) / 2 else None
