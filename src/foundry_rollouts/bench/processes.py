"""The evidence of ``core/judging/capital.py`` for many runs at once.

The same formulas over arrays, for the speed of it; the words are explained there. A test feeds both the same counts and
holds them equal. ``ScalarProcesses`` asks the core itself, one run after the other: slow, and beyond doubt.
"""

import math
from typing import Protocol

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.bets import harm_gains, ladder_gains, safe_gains
from foundry_rollouts.bench.capital import Capitals
from foundry_rollouts.bench.estimate import Batches, Estimates
from foundry_rollouts.bench.streams import KNOWN_CALLS
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import EProcess, Hypotheses, begin, observed, reweighted
from foundry_rollouts.core.judging.constants import LADDER, SAFE_POSITIONS

SAFE_AT_START = -math.log(len(SAFE_POSITIONS))


class Processes(Protocol):
    """The evidence of many runs; ``at`` names the runs that are meant. Evidence is in natural logarithms."""

    def reweigh(self, at: Ints) -> None: ...
    def observe(self, at: Ints, counts: Counts, seconds: float) -> None: ...
    def harm(self, at: Ints) -> Floats: ...
    def safe(self, at: Ints) -> Floats: ...
    def at_most_worse(self, at: Ints, missed_bad: float) -> Floats: ...


class VectorProcesses:
    """All runs in one array; ``ladder`` may be cut down to the margins that somebody asks for.

    ``known`` tells how many of the calls failed that are known of stable from before the trial, for each run.
    """

    def __init__(
        self, runs: int, bets: Hypotheses, ladder: tuple[float, ...] = LADDER, known: Floats | None = None
    ) -> None:
        self._bets, self._margins = bets, ladder
        self._capital = Capitals(runs)
        self._safe = np.full((runs, len(SAFE_POSITIONS)), SAFE_AT_START)
        self._ladder = np.zeros((runs, len(ladder)))
        self._batches = Batches(runs, Estimates(runs, known, KNOWN_CALLS))

    def reweigh(self, at: Ints) -> None:
        self._capital.at_new_weight(at)
        self._safe[at] = SAFE_AT_START
        self._batches.drop(at)

    def observe(self, at: Ints, counts: Counts, seconds: float) -> None:
        places, batch, guess = self._batches.join(at, counts, seconds)
        if places.size:
            closed, cluster = at[places], self._bets.cluster
            self._capital.staked[closed] += harm_gains(self._bets.tolerate, guess, batch) / cluster
            self._safe[closed] += safe_gains(self._bets.bad, guess, batch) / cluster
            for place, margin in enumerate(self._margins):
                self._ladder[closed, place] += ladder_gains(margin, guess, batch) / cluster
        self._capital.later(at, seconds)

    def harm(self, at: Ints) -> Floats:
        return self._capital.log(at)

    def safe(self, at: Ints) -> Floats:
        return log_sum(self._safe[at])

    def at_most_worse(self, at: Ints, missed_bad: float) -> Floats:
        """Return the smallest proved margin of each run; infinite where none is."""
        proved = self._ladder[at] >= -math.log(missed_bad)
        smallest: Floats = np.where(proved, np.array(self._margins), np.inf).min(axis=1, initial=np.inf)
        return smallest


class ScalarProcesses:
    """The product's own core, run after run."""

    def __init__(self, runs: int, bets: Hypotheses, known: Floats | None = None) -> None:
        self._bets = bets
        histories = [None] * runs if known is None else [_history(int(failures)) for failures in known]
        self._runs: list[EProcess] = [begin(history) for history in histories]

    def reweigh(self, at: Ints) -> None:
        for run in at:
            self._runs[run] = reweighted(self._runs[run])

    def observe(self, at: Ints, counts: Counts, seconds: float) -> None:
        columns = counts.canary_calls, counts.canary_failures, counts.stable_calls, counts.stable_failures
        for run, row in zip(at, np.stack(columns, axis=1).tolist(), strict=True):
            self._runs[run] = observed(self._runs[run], self._bets, Tally(*row), seconds)

    def harm(self, at: Ints) -> Floats:
        return np.array([self._runs[run].harm_log for run in at])

    def safe(self, at: Ints) -> Floats:
        return np.array([self._runs[run].safe_log for run in at])

    def at_most_worse(self, at: Ints, missed_bad: float) -> Floats:
        margins = [self._runs[run].at_most_worse(missed_bad) for run in at]
        return np.array([math.inf if margin is None else margin for margin in margins])


def _history(failures: int) -> Tally:
    return Tally(stable_calls=KNOWN_CALLS, stable_failures=failures)


def log_sum(logs: Floats) -> Floats:
    """Return the logarithm of the sum along each row."""
    most = logs.max(axis=1)
    total: Floats = most + np.log(np.exp(logs - most[:, None]).sum(axis=1))
    return total
