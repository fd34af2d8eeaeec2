"""Shared trouble and clusters (``core/judging/shared.py``, ``spread.py``), for many runs at once."""

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.bets import alone_gains
from foundry_rollouts.bench.capital import Capitals
from foundry_rollouts.bench.streams import KNOWN_CALLS
from foundry_rollouts.core.judging.constants import (
    CALM_CALLS,
    CALM_FAILURES,
    CLUSTER_AT_FIRST,
    CLUSTER_AT_MOST,
    CLUSTER_CAUTION,
    CLUSTER_HALF_LIFE,
    CLUSTER_WORTH,
    HIGHEST_GUESS,
    LOWEST_GUESS,
    MINUTE,
    TROUBLE,
    TROUBLE_MINUTES,
)


class Troubles:
    """What one stratum says of stable alone: does it fail more than before."""

    def __init__(self, runs: int, known: Floats | None) -> None:
        self.capital = Capitals(runs)
        before = np.full(runs, np.nan) if known is None else known / KNOWN_CALLS
        self.before = np.clip(before, LOWEST_GUESS, HIGHEST_GUESS)
        self._minutes = np.zeros((runs, TROUBLE_MINUTES, 2), dtype=np.int64)  # The present one first.
        self._clock = np.zeros(runs)
        self._learnt = np.zeros((runs, 2), dtype=np.int64)

    def observe(self, at: Ints, counts: Counts, seconds: float, is_on: Bools, cluster: Floats) -> None:
        seen = np.stack([counts.stable_calls, counts.stable_failures], axis=1)
        self._pass(at, seen, seconds)
        self._learnt[at] += np.where(is_on[:, None], 0, seen)
        is_known = ~np.isnan(self.before[at])
        some, reported = at[is_known], seen[is_known]
        limit = np.minimum(self._line(some), 1.0)
        self.capital.flow(some, seconds)
        self.capital.staked[some] += alone_gains(limit, reported[:, 0], reported[:, 1]) / cluster[is_known][:, None]
        self.before[at[~is_known]] = self._normal(at[~is_known])

    def begin(self, at: Ints) -> None:
        """Note that the trouble begins: from here on the minutes count that tell when it is over."""
        self._minutes[at], self._clock[at] = 0, 0.0

    def at_new_weight(self, at: Ints) -> None:
        normal = self._normal(at)
        is_known = ~np.isnan(normal)
        self.before[at[is_known]] = normal[is_known]
        self._learnt[at[is_known]] = 0
        self.capital.restart(at)

    def is_over(self, at: Ints) -> Bools:
        """Return where stable fails no more than it may, as far as is known."""
        calls, failures = self._minutes[at].sum(axis=1).T
        with np.errstate(invalid="ignore"):
            is_above: Bools = failures > self._line(at) * calls
        return ~is_above

    def _line(self, at: Ints) -> Floats:
        line: Floats = TROUBLE.ratio * self.before[at] + TROUBLE.points
        return line

    def _normal(self, at: Ints) -> Floats:
        calls, failures = self._learnt[at].T
        rate = (failures + CALM_FAILURES) / (calls + CALM_FAILURES)
        return np.where(calls >= CALM_CALLS, np.clip(rate, LOWEST_GUESS, HIGHEST_GUESS), np.nan)

    def _pass(self, at: Ints, seen: Ints, seconds: float) -> None:
        self._minutes[at, 0] += seen
        elapsed = self._clock[at] + seconds
        past = np.floor(elapsed / MINUTE + 1e-9).astype(np.int64)
        self._clock[at] = elapsed - past * MINUTE
        for number in range(int(past.max(initial=0))):
            moved = at[past > number]
            self._minutes[moved, 1:] = self._minutes[moved, :-1]
            self._minutes[moved, 0] = 0


class Spreads:
    """How far stable's failures scatter, and so how many calls fail together; or the number that the policy gives."""

    def __init__(self, runs: int, given: float | None) -> None:
        self._given = given
        self._squares, self._expected = np.zeros(runs), np.zeros(runs)

    def cluster(self, at: Ints) -> Floats:
        if self._given is not None:
            return np.full(len(at), self._given)
        seen = CLUSTER_AT_FIRST * CLUSTER_WORTH + self._squares[at]
        mean = np.maximum(seen / (CLUSTER_WORTH + self._expected[at]), 1.0)
        cluster: Floats = np.minimum(1 + CLUSTER_CAUTION * (mean - 1), CLUSTER_AT_MOST)
        return cluster

    def observe(self, at: Ints, counts: Counts, rate: Floats, seconds: float) -> None:
        if self._given is not None:
            return
        kept = 0.5 ** (seconds / CLUSTER_HALF_LIFE)
        due, failures = counts.stable_calls * rate, counts.stable_failures
        square = np.minimum((failures - due) ** 2 / (1 - rate), CLUSTER_AT_MOST * np.maximum(failures, due))
        self._squares[at] = self._squares[at] * kept + square
        self._expected[at] = self._expected[at] * kept + due
