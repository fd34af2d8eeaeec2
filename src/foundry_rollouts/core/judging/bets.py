"""One bet: a claim about both versions against the nearest rates that would refute it.

The bettor claims a pair of failure rates, one for the canary and one for stable. The claim plays against the
pair on the line ``canary = ratio x stable + points`` that is nearest to it in the Kullback-Leibler sense,
weighed by the calls really counted. That makes the bet fair: for every pair of true rates on the line or
beyond it the expected return is at most 1, whatever the two numbers of calls are (Grünwald, de Heide and
Koolen, "Safe testing"; Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests").

Rates and shares are fractions; gains are natural logarithms of what one unit of capital becomes.
"""

import math
from functools import lru_cache
from typing import NamedTuple

from foundry_rollouts.core.judging.constants import (
    DEAD_RATE,
    EDGE,
    HARM_BEGINS_AT_MOST,
    HARM_POSITIONS,
    LADDER,
    LINE_AT_MOST,
    SAFE_POSITIONS,
)
from foundry_rollouts.core.model.policy import Margin

_LADDER_LINES = tuple(Margin(1.0, points) for points in LADDER)
#: Several processes bet on the same counts, and what is heard late is bet on again: enough for those of one tick.
_REMEMBERED = 512


class Bet(NamedTuple):
    """The gain of one outcome of each kind."""

    canary_failure: float = 0.0
    canary_success: float = 0.0
    stable_failure: float = 0.0
    stable_success: float = 0.0

    def gain(self, canary_calls: float, canary_failures: float, stable_calls: float, stable_failures: float) -> float:
        """Return what these calls gain; shares of a call will do, for an expectation."""
        canary_failure, canary_success, stable_failure, stable_success = self
        canary = canary_failures * canary_failure + (canary_calls - canary_failures) * canary_success
        stable = stable_failures * stable_failure + (stable_calls - stable_failures) * stable_success
        return canary + stable


#: Capital that sits out a batch.
SITTING_OUT = Bet()


@lru_cache(_REMEMBERED)
def harm_bets(line: Margin, guess: float, canary_calls: float, stable_calls: float) -> tuple[Bet, ...]:
    """Return the bets that the canary fails above ``line``, stable at ``guess``, the mildest claim first.

    A claim that lies within tolerance itself sits out: there is nothing fair to play it against.
    """
    tolerated = line.of(guess)
    return tuple(
        _bet(line, claim, guess, canary_calls, stable_calls) if claim > tolerated else SITTING_OUT
        for claim in _claims_above(tolerated)
    )


@lru_cache(_REMEMBERED)
def safe_bets(line: Margin, guess: float, canary_calls: float, stable_calls: float) -> tuple[Bet, ...]:
    """Return the bets that the canary fails below the bad ``line``: as good as stable, or a little worse."""
    return tuple(_bet(line, claim, guess, canary_calls, stable_calls) for claim in _claims_below(line, guess))


@lru_cache(_REMEMBERED)
def ladder_bets(guess: float, canary_calls: float, stable_calls: float) -> tuple[Bet, ...]:
    """Return the bets that the canary is as good as stable, one against each margin of the ladder."""
    return tuple(
        _bet(line, guess, guess, canary_calls, stable_calls) if guess + line.points < LINE_AT_MOST else SITTING_OUT
        for line in _LADDER_LINES
    )


@lru_cache(_REMEMBERED)
def floor_bets(limit: float) -> tuple[Bet, ...]:
    """Return the bets that the canary fails above ``limit``, whatever stable does."""
    fair = max(limit, EDGE)
    return tuple(_alone(claim, fair) if claim > fair else SITTING_OUT for claim in _claims_above(fair))


def _claims_above(rate: float) -> list[float]:
    start, end = _log_odds(min(rate, HARM_BEGINS_AT_MOST)), _log_odds(DEAD_RATE)
    return [_rate(start + position * (end - start)) for position in HARM_POSITIONS]


def _claims_below(line: Margin, guess: float) -> list[float]:
    start, end = _log_odds(guess), _log_odds(min(line.of(guess), LINE_AT_MOST))
    return [_rate(start + position * (end - start)) for position in SAFE_POSITIONS]


def _alone(claim: float, fair: float) -> Bet:
    return Bet(math.log(claim / fair), math.log1p(-claim) - math.log1p(-fair))


def _bet(line: Margin, canary: float, stable: float, canary_calls: float, stable_calls: float) -> Bet:
    fair_stable = _nearest(line, canary, stable, canary_calls / (canary_calls + stable_calls))
    fair_canary = line.of(fair_stable)
    return Bet(
        canary_failure=math.log(canary / fair_canary),
        canary_success=math.log1p(-canary) - math.log1p(-fair_canary),
        stable_failure=math.log(stable / fair_stable),
        stable_success=math.log1p(-stable) - math.log1p(-fair_stable),
    )


def _nearest(line: Margin, canary: float, stable: float, share: float) -> float:
    """Return the stable rate of the point of ``line`` that is nearest to the claim.

    The distance is convex along the line, so its slope crosses zero once, between the point under the claim
    and the point beside it. Multiplied by ``a(1-a) b(1-b)`` the slope is a cubic of the same sign: Newton's
    steps find its root, halving wherever a step would leave the bracket.
    """
    ratio, points, rest = line.ratio, line.points, 1 - share
    if ratio == 1.0 and points == 0.0:
        return share * canary + rest * stable
    low, high = _bracket(line, canary, stable)
    b = (low + high) / 2
    for _ in range(100):  # pragma: no branch - it ends by the breaks
        a = ratio * b + points
        b_spread, a_spread = b * (1 - b), a * (1 - a)
        pull, push = share * ratio * (a - canary), rest * (b - stable)
        slope = pull * b_spread + push * a_spread
        bend = share * ratio**2 * b_spread + pull * (1 - 2 * b) + rest * a_spread + push * ratio * (1 - 2 * a)
        low, high = (b, high) if slope < 0 else (low, b)
        newton = b - slope / bend if bend else math.inf
        before, b = b, newton if low <= newton <= high else (low + high) / 2
        # Steps square their error: after one as short as this, what is left cannot be seen.
        if abs(b - before) <= 1e-10 * b and (b == newton or high - low <= 1e-15 * b):
            break
    return b


def _bracket(line: Margin, canary: float, stable: float) -> tuple[float, float]:
    ceiling = (1 - EDGE - line.points) / line.ratio
    under = min(max((canary - line.points) / line.ratio, EDGE), ceiling)
    beside = min(max(stable, EDGE), ceiling)
    return min(under, beside), max(under, beside)


def _log_odds(rate: float) -> float:
    return math.log(rate) - math.log1p(-rate)


def _rate(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
