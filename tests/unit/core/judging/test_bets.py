"""One bet at a time: who sits out, and where the claims stop."""

import math

import pytest

from foundry_rollouts.core.judging.bets import (
    SITTING_OUT,
    Bet,
    floor_bets,
    harm_bets,
    ladder_bets,
    safe_bets,
)
from foundry_rollouts.core.judging.constants import HARM_POSITIONS, LADDER
from foundry_rollouts.core.model.policy import Margin


def log_odds(rate: float) -> float:
    return math.log(rate / (1 - rate))


def rate_of(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def test_each_outcome_has_its_own_gain() -> None:
    bet = Bet(2.0, 3.0, 5.0, 7.0)
    assert bet.gain(10, 4, 100, 30) == 4 * 2 + 6 * 3 + 30 * 5 + 70 * 7


@pytest.mark.parametrize(("guess", "sitting_out"), [(0.01, 0), (0.35, 1), (0.34, 0), (0.95, 5), (0.9, 3)])
def test_a_margin_that_reaches_99_percent_is_not_bet_on(guess: float, sitting_out: int) -> None:
    placed = ladder_bets(guess, 8, 8)
    assert [bet is SITTING_OUT for bet in placed] == [True] * sitting_out + [False] * (len(LADDER) - sitting_out)


def test_where_tolerance_reaches_98_percent_no_claim_of_harm_is_left() -> None:
    assert {bet is SITTING_OUT for bet in harm_bets(Margin(1.0), 0.98, 8, 8)} == {True}
    assert {bet is SITTING_OUT for limit in (0.98, 1.0) for bet in floor_bets(limit)} == {True}
    assert [bet is SITTING_OUT for bet in harm_bets(Margin(1.0, 0.03), 0.945, 8, 8)] == [True] * 5 + [False] * 2


def test_a_limit_of_none_is_played_at_one_failure_in_a_thousand_million() -> None:
    assert [bet.canary_failure for bet in floor_bets(0.0)] == pytest.approx(
        [math.log(rate_of(log_odds(1e-9) + at * (log_odds(0.98) - log_odds(1e-9))) / 1e-9) for at in HARM_POSITIONS]
    )


def test_without_points_and_ratio_the_nearest_rates_are_what_both_would_share() -> None:
    """With a claim of 30% against 10% and three canary calls in four, both would fail at 25%."""
    for bet, position in zip(
        harm_bets(Margin(1.0), 0.1, 6, 2), (0.012, 0.035, 0.08, 0.17, 0.34, 0.60, 1.0), strict=True
    ):
        claim = rate_of(log_odds(0.1) + position * (log_odds(0.98) - log_odds(0.1)))
        fair = 0.75 * claim + 0.25 * 0.1
        assert (bet.canary_failure, bet.canary_success) == pytest.approx(
            (math.log(claim / fair), math.log((1 - claim) / (1 - fair)))
        )
        assert (bet.stable_failure, bet.stable_success) == pytest.approx(
            (math.log(0.1 / fair), math.log(0.9 / (1 - fair)))
        )


@pytest.mark.parametrize("share", [1e-6, 0.1, 0.5, 0.999_999])
@pytest.mark.parametrize("line", [Margin(1.5, 0.005), Margin(1000.0), Margin(1.0, 0.98), Margin(3, 0.2)])
@pytest.mark.parametrize("guess", [2e-5, 0.01, 0.5, 0.95])
def test_the_pair_played_against_is_on_the_line_and_no_pair_on_it_is_nearer(
    line: Margin, guess: float, share: float
) -> None:
    """A claim gains on average by the distance that it has from the pair played against: here, no point has less."""

    def distance(stable: float) -> float:
        canary = line.of(stable)
        return share * apart(guess, canary) + (1 - share) * apart(guess, stable)

    def apart(claim: float, fair: float) -> float:
        return claim * math.log(claim / fair) + (1 - claim) * (math.log1p(-claim) - math.log1p(-fair))

    bet = safe_bets(line, guess, share, 1 - share)[0]
    gained = bet.gain(share, share * guess, 1 - share, (1 - share) * guess)
    highest = (1 - line.points) / line.ratio
    least = min(distance(highest * part / 4001) for part in range(1, 4001))
    assert gained <= least * (1 + 1e-9) + 1e-12
    fair_stable = guess / math.exp(bet.stable_failure)
    assert guess / math.exp(bet.canary_failure) == pytest.approx(line.of(fair_stable), rel=1e-9)
    assert gained == pytest.approx(distance(fair_stable), rel=1e-6, abs=1e-9)
