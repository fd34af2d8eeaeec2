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
    """Counts of every run, a row for each run and a column for each look."""

    look: float
    counts: Counts
    harm: Floats  #: Failures that the canary caused so far.
    known: Floats  #: How many of the calls failed that are known of stable from before; one number for each run.

    def __getitem__(self, part: slice) -> "Recording":
        seen = self.counts
        cut = Counts(
            seen.canary_calls[part], seen.canary_failures[part], seen.stable_calls[part], seen.stable_failures[part]
        )
        return Recording(self.look, cut, self.harm[part], self.known[part])

    def at_look(self, number: int) -> Counts:
        """Return what all runs counted in look number ``number``."""
        seen = self.counts
        return Counts(
            seen.canary_calls[:, number],
            seen.canary_failures[:, number],
            seen.stable_calls[:, number],
            seen.stable_failures[:, number],
        )

    @property
    def looks(self) -> int:
        return int(self.harm.shape[1])

    def window(self, seconds: float) -> Counts:
        """Return the counts of the window that ends with each look."""
        looks, seen = round(seconds / self.look), self.counts
        columns = seen.canary_calls, seen.canary_failures, seen.stable_calls, seen.stable_failures
        return Counts(*(_moving_sum(column, looks) for column in columns))

    def harm_until(self, first: Ints) -> Floats:
        """Return the failures that the canary caused until it went back; ``first`` may lie behind the last look."""
        rows = np.arange(len(first))
        caused: Floats = self.harm[rows, np.minimum(first, self.looks - 1)]
        return caused


def record(streams: Streams, weights: Weights, seconds: float, look: float) -> Recording:
    """Let the traffic pass for ``seconds``."""
    everyone, looks = np.arange(len(streams)), round(seconds / look)
    columns = np.zeros((4, len(streams), looks), dtype=np.int64)
    harm = np.zeros((len(streams), looks))
    for number in range(looks):
        now = number * look
        weight = np.full(len(streams), weights(now))
        seen, harm[:, number] = streams.draw(everyone, now, look, weight)
        columns[:, :, number] = (seen.canary_calls, seen.canary_failures, seen.stable_calls, seen.stable_failures)
    return Recording(look, Counts(*columns), harm.cumsum(axis=1), streams.known)


def first_look(is_over: Bools) -> Ints:
    """Return the number of the first look at which a run is over, or the number of looks where none is."""
    first: Ints = np.where(is_over.any(axis=1), is_over.argmax(axis=1), is_over.shape[1])
    return first


def _moving_sum(column: Ints, looks: int) -> Ints:
    total = column.cumsum(axis=1)
    moved = total.copy()
    moved[:, looks:] -= total[:, :-looks]
    return moved
