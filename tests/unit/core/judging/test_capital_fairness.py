"""No bet can be won on average against a version within tolerance: every outcome is enumerated."""

import math
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.bets import Bet, floor_bets, harm_bets, ladder_bets, safe_bets
from foundry_rollouts.core.judging.capital import Hypotheses, begin, observed, reweighted
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.model.policy import Margin

BY_A_HAIR = 1e-9

calls = st.integers(1, 12)
sizes = st.tuples(calls, calls)
guesses = st.floats(2e-5, 0.95)
shares = st.floats(0, 1)
lines = st.builds(Margin, st.floats(1, 5), st.just(0.0) | st.floats(0, 0.5))


def chance(calls: int, failures: int, rate: float) -> float:
    return math.comb(calls, failures) * rate**failures * (1 - rate) ** (calls - failures)


def expected_return(bet: Bet, canary: tuple[int, float], stable: tuple[int, float]) -> float:
    """Return the mean of what one unit becomes, over all outcomes of calls at their true rates."""
    (n_c, a), (n_b, b) = canary, stable
    return math.fsum(
        chance(n_c, x_c, a) * chance(n_b, x_b, b) * math.exp(bet.gain(n_c, x_c, n_b, x_b))
        for x_c, x_b in product(range(n_c + 1), range(n_b + 1))
    )


@settings(max_examples=60, deadline=None)
@given(line=lines, guess=guesses, size=sizes, stable=shares, part=st.just(1.0) | shares)
@example(line=Margin(1.2), guess=0.95, size=(4, 12), stable=1.0, part=1.0)
@example(line=Margin(1.0, 0.4), guess=0.575, size=(6, 6), stable=0.6, part=1.0)
def test_a_canary_within_tolerance_gains_nothing_on_average(
    line: Margin, guess: float, size: tuple[int, int], stable: float, part: float
) -> None:
    canary = part * min(line.of(stable), 1.0)
    for bet in harm_bets(line, guess, *size):
        assert expected_return(bet, (size[0], canary), (size[1], stable)) <= 1 + BY_A_HAIR


@settings(max_examples=60, deadline=None)
@given(line=lines, guess=guesses, size=sizes, low=shares, part=st.just(0.0) | shares)
@example(line=Margin(1.5, 0.005), guess=0.95, size=(4, 12), low=1.0, part=0.0)
def test_a_bad_canary_gains_no_proof_of_safety_on_average(
    line: Margin, guess: float, size: tuple[int, int], low: float, part: float
) -> None:
    stable = low * min((1 - line.points) / line.ratio, 1.0)
    canary = min(line.of(stable) + part * (1 - line.of(stable)), 1.0)
    for bet in safe_bets(line, guess, *size):
        assert expected_return(bet, (size[0], canary), (size[1], stable)) <= 1 + BY_A_HAIR


@settings(max_examples=30, deadline=None)
@given(guess=guesses, size=sizes, low=shares)
def test_a_canary_that_is_just_so_much_worse_gains_nothing_on_that_rung(
    guess: float, size: tuple[int, int], low: float
) -> None:
    margins = (0.64, 0.32, 0.16, 0.08, 0.04, 0.02, 0.01, 0.005)
    for margin, bet in zip(margins, ladder_bets(guess, *size), strict=True):
        stable = low * (1 - margin)
        assert expected_return(bet, (size[0], stable + margin), (size[1], stable)) <= 1 + BY_A_HAIR


@settings(max_examples=40, deadline=None)
@given(limit=shares, n=calls, part=st.just(1.0) | shares)
def test_a_version_within_the_limit_gains_nothing_on_average(limit: float, n: int, part: float) -> None:
    for bet in floor_bets(limit):
        assert expected_return(bet, (n, limit * part), (0, 0.0)) <= 1 + 1e-7  # a limit of 0 is read as 1e-9


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.3, 0.9])
def test_the_whole_evidence_of_two_batches_and_a_change_of_weight_averages_at_most_one(rate: float) -> None:
    bets = Hypotheses(tolerate=Margin(1.0), bad=Margin(1.0))  # equal versions are within tolerance, and "bad" as well
    harm, safe = [], []
    for x_c, x_b in product(range(4), range(6)):
        first = reweighted(observed(begin(), bets, Tally(3, x_c, 5, x_b), seconds=60))
        for y_c, y_b in product(range(6), range(5)):
            then = observed(first, bets, Tally(5, y_c, 4, y_b), seconds=60)
            odds = chance(3, x_c, rate) * chance(5, x_b, rate) * chance(5, y_c, rate) * chance(4, y_b, rate)
            harm.append(odds * math.exp(then.harm_log))
            safe.append(odds * math.exp(then.safe_log))
    assert math.fsum(harm) <= 1 + BY_A_HAIR
    assert math.fsum(safe) <= 1 + BY_A_HAIR


def test_the_bets_are_worth_playing_when_their_claim_is_true() -> None:
    line, guess = Margin(1.2), 0.01
    milder, *_, dead = harm_bets(line, guess, 8, 12)
    assert expected_return(dead, (8, 0.98), (12, guess)) > 1000
    assert expected_return(milder, (8, 0.05), (12, guess)) > 1
    assert expected_return(safe_bets(Margin(3, 0.2), guess, 8, 12)[0], (8, guess), (12, guess)) > 1


tallies = st.lists(
    st.tuples(st.integers(0, 30), shares, st.integers(0, 60), shares).map(
        lambda t: Tally(t[0], int(t[0] * t[1]), t[2], int(t[2] * t[3]))
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(stream=tallies, where=st.integers(0, 7), tolerate=lines)
def test_one_more_failure_of_the_canary_never_speaks_for_it(stream: list[Tally], where: int, tolerate: Margin) -> None:
    """Its outcomes touch neither the closing of batches nor the guess, so it holds across batches too."""
    where %= len(stream)
    was = stream[where]
    if was.canary_failures == was.canary_calls:
        return
    worse = stream.copy()
    worse[where] = Tally(was.canary_calls, was.canary_failures + 1, was.stable_calls, was.stable_failures)
    bets = Hypotheses(tolerate, Margin(tolerate.ratio + 0.5, min(tolerate.points + 0.005, 0.99)))

    before, after = begin(), begin()
    for tally, other in zip(stream, worse, strict=True):
        before, after = observed(before, bets, tally, 20), observed(after, bets, other, 20)

    assert as_log10(after.harm_log) >= as_log10(before.harm_log) - BY_A_HAIR
    assert as_log10(after.safe_log) <= as_log10(before.safe_log) + BY_A_HAIR
    assert all(now <= then + BY_A_HAIR for now, then in zip(after.ladder, before.ladder, strict=True))
