"""Traffic at one weight, recorded, so that rules that only watch meet the very same calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.streams import Streams

Weights: TypeAlias = Callable[[float], float]  #: The canary's weight in percent at a number of seconds.


@dataclass(frozen=True, slots=True)
class Recording:
    """Counts of every run, a row for each run and a column for each tick."""

    tick: float
    counts: Counts
    harm: Floats  #: Failures that the canary caused so far.
    known: Floats  #: How many of the calls failed that are known of stable from before; one number for each run.

    def __getitem__(self, part: slice) -> "Recording":
        seen = self.counts
        cut = Counts(
            seen.canary_calls[part], seen.canary_failures[part], seen.stable_calls[part], seen.stable_failures[part]
        )
        return Recording(self.tick, cut, self.harm[part], self.known[part])

    def at_tick(self, number: int) -> Counts:
        """Return what all runs counted in tick number ``number``."""
        seen = self.counts
        return Counts(
            seen.canary_calls[:, number],
            seen.canary_failures[:, number],
            seen.stable_calls[:, number],
            seen.stable_failures[:, number],
        )

    @property
    def ticks(self) -> int:
        return int(self.harm.shape[1])

    def window(self, seconds: float) -> Counts:
        """Return the counts of the window that ends with each tick."""
        ticks, seen = round(seconds / self.tick), self.counts
        columns = seen.canary_calls, seen.canary_failures, seen.stable_calls, seen.stable_failures
        return Counts(*(_moving_sum(column, ticks) for column in columns))

    def harm_until(self, first: Ints) -> Floats:
        """Return the failures that the canary caused until it went back; ``first`` may lie behind the last tick."""
        rows = np.arange(len(first))
        caused: Floats = self.harm[rows, np.minimum(first, self.ticks - 1)]
        return caused


def record(streams: Streams, weights: Weights, seconds: float, tick: float) -> Recording:
    """Let the traffic pass for ``seconds``."""
    everyone, ticks = np.arange(len(streams)), round(seconds / tick)
    columns = np.zeros((4, len(streams), ticks), dtype=np.int64)
    harm = np.zeros((len(streams), ticks))
    for number in range(ticks):
        now = number * tick
        weight = np.full(len(streams), weights(now))
        seen, harm[:, number] = streams.draw(everyone, now, tick, weight)
        columns[:, :, number] = (seen.canary_calls, seen.canary_failures, seen.stable_calls, seen.stable_failures)
    return Recording(tick, Counts(*columns), harm.cumsum(axis=1), streams.known)


def first_tick(is_over: Bools) -> Ints:
    """Return the number of the first tick at which a run is over, or the number of ticks where none is."""
    first: Ints = np.where(is_over.any(axis=1), is_over.argmax(axis=1), is_over.shape[1])
    return first


def _moving_sum(column: Ints, ticks: int) -> Ints:
    total = column.cumsum(axis=1)
    moved = total.copy()
    moved[:, ticks:] -= total[:, :-ticks]
    return moved
