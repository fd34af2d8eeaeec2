"""The evidence of ``core/judging/capital.py`` for many runs at once.

The same formulas over arrays, for the speed of it; the words are explained there. A test feeds both the same counts and
holds them equal. ``ScalarProcesses`` asks the core itself, one run after the other: slow, and beyond doubt.
"""

import math
from typing import Protocol

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints, no_counts
from foundry_rollouts.bench.streams import KNOWN_CALLS
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import EProcess, Hypotheses, begin, observed, reweighted
from foundry_rollouts.core.judging.constants import (
    BATCH_CALLS,
    DEAD_RATE,
    EDGE,
    GUESSED_CALLS,
    GUESSED_FAILURES,
    HALF_LIFE,
    HARM_BEGINS_AT_MOST,
    HARM_POSITIONS,
    HIGHEST_GUESS,
    LADDER,
    LINE_AT_MOST,
    LOWEST_GUESS,
    MINUTE,
    SAFE_POSITIONS,
    STAKED_AT_START,
    STAKED_EACH_MINUTE,
    STAKED_EACH_WEIGHT,
)
from foundry_rollouts.core.model.policy import Margin

_DEAD = math.log(DEAD_RATE) - math.log1p(-DEAD_RATE)


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
        self._staked = np.full((runs, len(HARM_POSITIONS)), math.log(STAKED_AT_START / len(HARM_POSITIONS)))
        self._cash = np.full(runs, math.log(1 - STAKED_AT_START))
        self._clock = np.zeros(runs)
        self._safe = np.full((runs, len(SAFE_POSITIONS)), -math.log(len(SAFE_POSITIONS)))
        self._ladder = np.zeros((runs, len(ladder)))
        self._failures, self._calls = np.zeros(runs), np.zeros(runs)
        self._old_failures = np.full(runs, GUESSED_FAILURES) if known is None else known + GUESSED_FAILURES
        self._old_calls = GUESSED_CALLS if known is None else KNOWN_CALLS + GUESSED_CALLS
        self._buffer = no_counts(runs)

    def reweigh(self, at: Ints) -> None:
        self._stake(at, np.full(len(at), math.log1p(-STAKED_EACH_WEIGHT)))
        self._safe[at] = -math.log(len(SAFE_POSITIONS))
        self._buffer.put(at, no_counts(len(at)))

    def observe(self, at: Ints, counts: Counts, seconds: float) -> None:
        held = self._buffer[at] + counts
        is_batch = (np.minimum(held.canary_calls, held.stable_calls) >= 1) & (held.calls >= BATCH_CALLS)
        closed = at[is_batch]
        self._buffer.put(at, held)
        if closed.size:
            batch = held[is_batch]
            self._settle(closed, batch)
            kept = 0.5 ** (seconds / HALF_LIFE)
            self._failures[closed] = self._failures[closed] * kept + batch.stable_failures
            self._calls[closed] = self._calls[closed] * kept + batch.stable_calls
            self._buffer.put(closed, no_counts(len(closed)))
        self._pass_time(at, seconds)

    def harm(self, at: Ints) -> Floats:
        total: Floats = np.logaddexp(self._cash[at], _log_sum(self._staked[at]))
        return total

    def safe(self, at: Ints) -> Floats:
        return _log_sum(self._safe[at])

    def at_most_worse(self, at: Ints, missed_bad: float) -> Floats:
        """Return the smallest proved margin of each run; infinite where none is."""
        proved = self._ladder[at] >= -math.log(missed_bad)
        smallest: Floats = np.where(proved, np.array(self._margins), np.inf).min(axis=1, initial=np.inf)
        return smallest

    def _settle(self, at: Ints, batch: Counts) -> None:
        guess = (self._failures[at] + self._old_failures[at]) / (self._calls[at] + self._old_calls)
        guess = np.clip(guess, LOWEST_GUESS, HIGHEST_GUESS)[:, None]
        line, claims = self._bets.tolerate, harm_claims(self._bets.tolerate, guess)
        # A claim within tolerance sits out.
        is_beyond = claims > line.ratio * guess + line.points
        self._staked[at] += np.where(is_beyond, gains(line, claims, guess, batch), 0.0)
        self._safe[at] += gains(self._bets.bad, safe_claims(self._bets.bad, guess), guess, batch)
        for place, margin in enumerate(self._margins):
            won = gains(Margin(1.0, margin), guess, guess, batch)[:, 0]
            self._ladder[at, place] += np.where(guess[:, 0] + margin < LINE_AT_MOST, won, 0.0)

    def _pass_time(self, at: Ints, seconds: float) -> None:
        elapsed = self._clock[at] + seconds
        minutes = np.floor(elapsed / MINUTE + 1e-9)
        self._clock[at] = elapsed - minutes * MINUTE
        is_due = minutes > 0
        self._stake(at[is_due], minutes[is_due] * math.log1p(-STAKED_EACH_MINUTE))

    def _stake(self, at: Ints, kept: Floats) -> None:
        if at.size:
            each = self._cash[at] + np.log(-np.expm1(kept) / len(HARM_POSITIONS))
            self._staked[at] = np.logaddexp(self._staked[at], each[:, None])
            self._cash[at] += kept


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


def harm_claims(line: Margin, guess: Floats) -> Floats:
    """Return what is claimed of the canary's rate, a row for each run, the mildest claim first."""
    start = _log_odds(np.minimum(line.ratio * guess + line.points, HARM_BEGINS_AT_MOST))
    return _rate(start + np.array(HARM_POSITIONS) * (_DEAD - start))


def safe_claims(line: Margin, guess: Floats) -> Floats:
    """Return the claims of safety, a row for each run."""
    start = _log_odds(guess)
    end = _log_odds(np.minimum(line.ratio * guess + line.points, LINE_AT_MOST))
    return _rate(start + np.array(SAFE_POSITIONS) * (end - start))


def gains(line: Margin, claims: Floats, guess: Floats, batch: Counts) -> Floats:
    """Return what each claim wins against ``line`` by its run's batch."""
    share = (batch.canary_calls / batch.calls)[:, None]
    fair_stable = nearest(line, claims, guess, share)
    fair_canary = line.ratio * fair_stable + line.points
    failed, stable_failed = batch.canary_failures[:, None], batch.stable_failures[:, None]
    passed = batch.canary_calls[:, None] - failed
    stable_passed = batch.stable_calls[:, None] - stable_failed
    with np.errstate(invalid="ignore", divide="ignore"):
        won: Floats = (
            failed * np.log(claims / fair_canary)
            + passed * (np.log1p(-claims) - np.log1p(-fair_canary))
            + stable_failed * np.log(guess / fair_stable)
            + stable_passed * (np.log1p(-guess) - np.log1p(-fair_stable))
        )
    return won


def nearest(line: Margin, canary: Floats, stable: Floats, share: Floats) -> Floats:
    """Return the stable rate of the point of ``line`` that is nearest to the claimed pair of rates.

    Without points the slope of the distance is a quadratic, with them a cubic, whose root Newton's steps find inside a
    bracket that they halve wherever they would leave it.
    """
    if line.points == 0.0:
        middle = share * (line.ratio + canary) + (1 - share) * (1 + line.ratio * stable)
        product = share * canary + (1 - share) * stable
        root: Floats = 2 * product / (middle + np.sqrt(np.maximum(middle**2 - 4 * line.ratio * product, 0.0)))
        return root
    floor, ceiling = max(EDGE, (EDGE - line.points) / line.ratio), min(1 - EDGE, (1 - EDGE - line.points) / line.ratio)
    one = np.clip(np.broadcast_to(stable, canary.shape), floor, ceiling)
    other = np.clip((canary - line.points) / line.ratio, floor, ceiling)
    low, high = np.minimum(one, other), np.maximum(one, other)
    rates = (low + high) / 2
    for _ in range(60):
        slope, bend = _slope(line, (canary, stable), share, rates)
        low, high = np.where(slope < 0, rates, low), np.where(slope < 0, high, rates)
        with np.errstate(invalid="ignore", divide="ignore"):
            newton = rates - slope / bend
        before, rates = rates, np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        if np.all(np.abs(rates - before) <= 1e-11 * rates):
            break
    return rates


def _slope(line: Margin, claim: tuple[Floats, Floats], share: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the slope of the distance at the stable rates ``b``, and how fast it changes there."""
    canary, stable = claim
    a, rest = line.ratio * b + line.points, 1 - share
    b_spread, a_spread = b * (1 - b), a * (1 - a)
    pull, push = share * line.ratio * (a - canary), rest * (b - stable)
    bend = share * line.ratio**2 * b_spread + pull * (1 - 2 * b) + rest * a_spread + push * line.ratio * (1 - 2 * a)
    return pull * b_spread + push * a_spread, bend


def _log_odds(rate: Floats) -> Floats:
    odds: Floats = np.log(rate) - np.log1p(-rate)
    return odds


def _rate(log_odds: Floats) -> Floats:
    rate: Floats = 1 / (1 + np.exp(-log_odds))
    return rate


def _log_sum(logs: Floats) -> Floats:
    most = logs.max(axis=1)
    total: Floats = most + np.log(np.exp(logs - most[:, None]).sum(axis=1))
    return total
