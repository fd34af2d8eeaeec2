"""Fixed thresholds as people write them: an error rate over a window, some failed checks, a least number of calls.

Tools check once a window and count the checks that failed, none of which is forgotten. Who writes alerting rules may
read a window again at every tick, and ask for some failed checks in a row. The threshold of each form is
set on the very streams of equal versions on which false rollbacks are counted, to exactly the share that is allowed:
nobody could tune better.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from foundry_rollouts.bench.arrays import Floats
from foundry_rollouts.bench.recording import Recording

WINDOWS, LEAST_CALLS, CHECKS = (10.0, 30.0, 60.0, 300.0), (1, 10, 50), (1, 2, 3, 5)


@dataclass(frozen=True, slots=True)
class Form:
    """All of a rule but its threshold; ``is_relative``: the canary's rate less stable's."""

    is_sliding: bool
    window: float
    least_calls: int
    is_relative: bool
    checks: int

    def ticks(self, seen: Recording) -> int:
        """Return how many ticks lie between two checks."""
        return 1 if self.is_sliding else round(self.window / seen.tick)


FORMS = tuple(Form(*each) for each in product((False, True), WINDOWS, LEAST_CALLS, (False, True), CHECKS))


def levels(seen: Recording) -> Iterator[tuple[Form, Floats]]:
    """Yield for each form the threshold that a run would have had to exceed to be over, at each check."""
    for is_sliding, window in product((False, True), WINDOWS):
        counts, every = seen.window(window), 1 if is_sliding else round(window / seen.tick)
        calls = counts.canary_calls[:, every - 1 :: every]
        rate = counts.canary_failures[:, every - 1 :: every] / np.maximum(calls, 1)
        stable_calls = np.maximum(counts.stable_calls[:, every - 1 :: every], 1)
        stable_rate = counts.stable_failures[:, every - 1 :: every] / stable_calls
        for least_calls, is_relative in product(LEAST_CALLS, (False, True)):
            value = np.where(calls >= least_calls, rate - stable_rate * is_relative, -np.inf)
            for checks in CHECKS:
                level = _least_of_last(value, checks) if is_sliding else _so_many_so_far(value, checks)
                yield Form(is_sliding, window, least_calls, is_relative, checks), level


def threshold(level: Floats, allowed: float = 0.01) -> float:
    """Return the threshold that at most the ``allowed`` part of the runs ever exceeds; never below none at all."""
    highest = np.sort(level.max(axis=1))[::-1]
    return max(0.0, float(highest[int(allowed * len(highest))]))


def _so_many_so_far(value: Floats, checks: int) -> Floats:
    """Return for each check the value that so many checks have reached by then."""
    greatest = np.full((value.shape[0], checks), -np.inf)
    level = np.empty_like(value)
    for number in range(value.shape[1]):
        greatest = np.sort(np.column_stack([greatest, value[:, number]]), axis=1)[:, 1:]
        level[:, number] = greatest[:, 0]
    return level


def _least_of_last(value: Floats, checks: int) -> Floats:
    least = value.copy()
    for back in range(1, checks):
        least[:, back:] = np.minimum(least[:, back:], value[:, :-back])
        least[:, :back] = -np.inf
    return least
