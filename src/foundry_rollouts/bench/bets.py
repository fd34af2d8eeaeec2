"""The bets of ``core/judging/bets.py`` over arrays, a row for each run; the words are explained there."""

import math

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.core.judging.constants import (
    DEAD_RATE,
    EDGE,
    HARM_BEGINS_AT_MOST,
    HARM_POSITIONS,
    LINE_AT_MOST,
    SAFE_POSITIONS,
)
from foundry_rollouts.core.model.policy import Margin

_DEAD = math.log(DEAD_RATE) - math.log1p(-DEAD_RATE)


def harm_gains(line: Margin, guess: Floats, batch: Counts) -> Floats:
    """Return what the claims of harm win; a claim within tolerance sits out. ``guess`` is a column."""
    claims = harm_claims(line, guess)
    won: Floats = np.where(claims > line.ratio * guess + line.points, gains(line, claims, guess, batch), 0.0)
    return won


def safe_gains(line: Margin, guess: Floats, batch: Counts) -> Floats:
    """Return what the claims of safety win against the bad ``line``."""
    return gains(line, safe_claims(line, guess), guess, batch)


def ladder_gains(margin: float, guess: Floats, batch: Counts) -> Floats:
    """Return what is won by "as good as stable" against one margin of the ladder."""
    won: Floats = gains(Margin(1.0, margin), guess, guess, batch)[:, 0]
    return np.where(guess[:, 0] + margin < LINE_AT_MOST, won, 0.0)


def alone_gains(limit: Floats, calls: Ints, failures: Ints) -> Floats:
    """Return what the claims win that one version fails above ``limit``, whatever the other does."""
    fair = np.maximum(limit, EDGE)[:, None]
    claims = harm_claims(Margin(1.0), fair)
    won = _alone(claims, fair, calls, failures)
    return np.where(claims > fair, won, 0.0)


def past_gains(line: Margin, known: Floats, calls: Ints, failures: Ints) -> Floats:
    """Return what the claims of safety win by the canary alone, where stable is known to have failed at ``known``."""
    fair = np.minimum(line.ratio * known + line.points, LINE_AT_MOST)[:, None]
    return _alone(safe_claims(line, known[:, None]), fair, calls, failures)


def _alone(claims: Floats, fair: Floats, calls: Ints, failures: Ints) -> Floats:
    failed, passed = failures[:, None], (calls - failures)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        won: Floats = failed * np.log(claims / fair) + passed * (np.log1p(-claims) - np.log1p(-fair))
    return won


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
