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
    EVEN,
    FIRM_CALLS,
    HIGHEST_GUESS,
    LOWEST_GUESS,
    MINUTE,
    TROUBLE,
    TROUBLE_CALLS,
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
        self._since = np.ones(runs, dtype=np.int64)  #: Minutes of which something is kept, the present one included.
        self._is_firm = np.full(runs, known is not None)

    def observe(self, at: Ints, counts: Counts, seconds: float, is_on: Bools, cluster: Floats) -> None:
        seen = np.stack([counts.stable_calls, counts.stable_failures], axis=1)
        self._pass(at, seen, seconds)
        is_known = ~np.isnan(self.before[at])
        some, reported = at[is_known], seen[is_known]
        limit = np.minimum(self._line(some), 1.0)
        self.capital.flow(some, seconds)
        self.capital.staked[some] += alone_gains(limit, reported[:, 0], reported[:, 1]) / cluster[is_known][:, None]
        is_calm = ~is_on & ~(is_known & (self.capital.log(at) > EVEN))
        self._learnt[at] += np.where(is_calm[:, None], seen, 0)
        learns = at[is_calm & ~self._is_firm[at]]
        self.before[learns] = self._normal(learns)
        self._is_firm[learns] = self._learnt[learns, 0] >= FIRM_CALLS

    def begin(self, at: Ints) -> None:
        """Note that the trouble begins: from here on the minutes count that tell when it is over."""
        self._minutes[at], self._clock[at], self._since[at] = 0, 0.0, 1

    def at_new_weight(self, at: Ints) -> None:
        firm = at[self._learnt[at, 0] >= FIRM_CALLS]
        self.before[firm] = self._normal(firm)
        self._is_firm[firm], self._learnt[firm] = True, 0
        self.capital.restart(at)

    def is_over(self, at: Ints) -> Bools:
        """Return where stable fails no more than it may, as far as is known."""
        calls, failures = self._minutes[at].sum(axis=1).T
        is_long = self._since[at] >= TROUBLE_MINUTES
        may_tell = (self._since[at] > 1) & ((calls >= TROUBLE_CALLS) | is_long)
        with np.errstate(invalid="ignore"):
            is_below = failures <= self._line(at) * calls
        is_over: Bools = np.isnan(self.before[at]) | (may_tell & is_below)
        return is_over

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
        self._since[at] = np.minimum(self._since[at] + past, TROUBLE_MINUTES)
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
