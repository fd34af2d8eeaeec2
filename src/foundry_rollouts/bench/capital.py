"""Capital that is staked little by little (``core/judging/capital.py``), for many runs at once."""

import math

import numpy as np

from foundry_rollouts.bench.arrays import Floats, Ints
from foundry_rollouts.core.judging.constants import (
    HARM_POSITIONS,
    MINUTE,
    STAKED_AT_START,
    STAKED_EACH_MINUTE,
    STAKED_EACH_WEIGHT,
)

_CLAIMS = len(HARM_POSITIONS)
_STAKED, _CASH = math.log(STAKED_AT_START / _CLAIMS), math.log(1 - STAKED_AT_START)


class Capitals:
    """The part staked on each claim, the cash, and the seconds into the minute, of each run."""

    def __init__(self, runs: int) -> None:
        self.staked = np.full((runs, _CLAIMS), _STAKED)
        self.cash = np.full(runs, _CASH)
        self.clock = np.zeros(runs)

    def log(self, at: Ints) -> Floats:
        """Return all of it, as natural logarithms."""
        staked, cash = self.staked[at], self.cash[at]
        most = np.maximum(staked.max(axis=1, initial=-np.inf), cash)
        total: Floats = most + np.log(np.exp(staked - most[:, None]).sum(axis=1) + np.exp(cash - most))
        return total

    def restart(self, at: Ints) -> None:
        self.staked[at], self.cash[at], self.clock[at] = _STAKED, _CASH, 0.0

    def at_new_weight(self, at: Ints) -> None:
        self._stake(at, np.full(len(at), math.log1p(-STAKED_EACH_WEIGHT)))

    def flow(self, at: Ints, seconds: float) -> None:
        """Move the part of a minute's stake that is due before an interval, as alarms do."""
        if seconds > 0:
            self._stake(at, np.full(len(at), math.log1p(-STAKED_EACH_MINUTE) * seconds / MINUTE))

    def later(self, at: Ints, seconds: float) -> None:
        """Let time pass: each full minute moves its stake."""
        elapsed = self.clock[at] + seconds
        minutes = np.floor(elapsed / MINUTE + 1e-9)
        self.clock[at] = elapsed - minutes * MINUTE
        is_due = minutes > 0
        if is_due.any():
            self._stake(at[is_due], minutes[is_due] * math.log1p(-STAKED_EACH_MINUTE))

    def _stake(self, at: Ints, kept: Floats) -> None:
        each = self.cash[at] + np.log(-np.expm1(kept) / _CLAIMS)
        self.staked[at] = np.logaddexp(self.staked[at], each[:, None])
        self.cash[at] += kept
