"""What stable is thought to fail at (``core/judging/estimate.py``), for many runs at once."""

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.waiting import Waiting
from foundry_rollouts.core.judging.constants import (
    FRESH_CALLS,
    GUESSED_CALLS,
    GUESSED_FAILURES,
    HALF_LIFE,
    HIGHEST_GUESS,
    KNOWN_AFTER_CALLS,
    LOWEST_GUESS,
    WAITING_INTERVALS,
)


class Estimates:
    """Stable's failures and calls of late, and those of before the trial: ``known`` failures among ``known_calls``."""

    def __init__(self, runs: int, known: Floats | None, known_calls: float, *, forgets: bool = True) -> None:
        self.failures, self.calls, self.fresh = np.zeros(runs), np.zeros(runs), np.zeros(runs)
        self.old_failures = np.zeros(runs) if known is None else known.astype(np.float64)
        self.old_calls = np.full(runs, 0.0 if known is None else float(known_calls))
        self._forgets = forgets

    def rate(self, at: Ints) -> Floats:
        failures = self.failures[at] + self.old_failures[at] + GUESSED_FAILURES
        rate: Floats = failures / (self.calls[at] + self.old_calls[at] + GUESSED_CALLS)
        return np.clip(rate, LOWEST_GUESS, HIGHEST_GUESS)

    def known(self, at: Ints) -> Floats:
        """Return what stable failed at for sure; not a number where too little was seen of it."""
        calls = self.calls[at] + self.old_calls[at]
        seen = (self.failures[at] + self.old_failures[at]) / np.maximum(calls, 1.0)
        known = np.clip(np.minimum(self.rate(at), seen), LOWEST_GUESS, HIGHEST_GUESS)
        return np.where(calls >= KNOWN_AFTER_CALLS, known, np.nan)

    def learn(self, at: Ints, batch: Counts, seconds: float) -> None:
        kept = 0.5 ** (seconds / HALF_LIFE)
        self.failures[at] = self.failures[at] * kept + batch.stable_failures
        self.calls[at] = self.calls[at] * kept + batch.stable_calls
        if not self._forgets:
            return
        fading = at[self.fresh[at] >= FRESH_CALLS]
        self.old_failures[fading] *= kept
        self.old_calls[fading] *= kept
        self.fresh[at] += batch.stable_calls


class Batches:
    """Intervals that become batches, each with what stable was thought to fail at before."""

    def __init__(self, runs: int, guess: Estimates, waits_at_most: int | None = WAITING_INTERVALS) -> None:
        self.guess = guess
        self._waiting = Waiting(runs, waits_at_most)

    def drop(self, at: Ints) -> None:
        self._waiting.drop(at)

    def join(self, at: Ints, counts: Counts, seconds: float) -> tuple[Ints, Counts, Floats]:
        """Return the places in ``at`` that have a batch now, their batches, and the guesses as a column."""
        is_batch, batch = self._waiting.join(at, counts)
        closed = at[is_batch]
        guess = self.guess.rate(closed)[:, None]
        if closed.size:
            self.guess.learn(closed, batch, seconds)
        return np.flatnonzero(is_batch), batch, guess
