"""The evidence on its edges: just enough, next to nothing, and stable gone."""

import math

import pytest

from foundry_rollouts.core.policy import Margin
from foundry_rollouts.core.statistics import (
    NEVER,
    Bets,
    Capital,
    Guess,
    Process,
    Tally,
    begin,
    calls_needed,
    observed,
    samples_to_prove,
)
from foundry_rollouts.errors import UsageError

DEFAULT = Bets(tolerate=Margin(1.2), bad=Margin(1.5, 0.005))
GOAL = -math.log(0.05)


def test_counts_that_cannot_be_are_told_whole() -> None:
    with pytest.raises(
        UsageError, match=r"Tally\(canary_calls=1, canary_failures=2.*failures are counted among the calls"
    ):
        Tally(1, 2)


def test_a_margin_is_excluded_by_just_enough_evidence() -> None:
    ladder = (GOAL, GOAL, math.nextafter(GOAL, 0), 0.0, 0.0, 0.0, 0.0, 0.0)
    assert Process(ladder=ladder).at_most_worse(0.05) == 0.32


def test_what_just_enough_evidence_proves_needs_no_more_calls_even_where_none_would_help() -> None:
    hopeless = Bets(Margin(1.0), Margin(1.0))
    assert calls_needed(Process(safe=(GOAL, -math.inf)), hopeless, 0.05, 0.5) == 0
    assert calls_needed(Process(safe=(math.nextafter(GOAL, 0), -math.inf)), hopeless, 0.05, 0.5) == NEVER


@pytest.mark.parametrize(("guess", "rate"), [(Guess(0.0, 1e9), 2e-5), (Guess(1e9, 1e9), 0.95), (Guess(), 0.01)])
def test_stable_is_never_thought_to_fail_always_or_never(guess: Guess, rate: float) -> None:
    assert guess.rate == rate


def test_a_stable_call_counts_half_after_five_minutes() -> None:
    assert Guess(8.0, 80.0).after(Tally(0, 0, 10, 1), 300.0) == Guess(5.0, 50.0)


def test_alone_the_canary_proves_itself_call_by_call() -> None:
    """Its claim is stable's rate, played against the bad line over it."""
    p, line = 0.01, 1.5 * 0.01 + 0.005
    gain = p * math.log(p / line) + (1 - p) * math.log((1 - p) / (1 - line))
    assert samples_to_prove(p, 100, DEFAULT, 0.05) == pytest.approx((GOAL + math.log(2)) / gain)
    seen = Process(guess=Guess(0.5, 50.0))
    assert calls_needed(seen, DEFAULT, 0.05, 1.0) == math.ceil((GOAL + math.log(2)) / gain)


def test_what_the_canary_proved_alone_counts_only_where_stable_was_seen() -> None:
    won = observed(begin(), DEFAULT, Tally(canary_calls=5000), 10).past
    assert Process(past=won).past_log10 == 0.0
    assert Process(past=won, guess=Guess(1.0, 100.0)).past_log10 > 1.3
    assert calls_needed(Process(past=won), DEFAULT, 0.05, 1.0) == NEVER
    assert calls_needed(Process(past=won, guess=Guess(1.0, 100.0)), DEFAULT, 0.05, 1.0) == 0


def test_the_clock_of_the_stakes_keeps_the_seconds_that_are_left_of_a_minute() -> None:
    later = Capital().later(150.0)
    assert later.clock == pytest.approx(30.0)
    assert later.cash == pytest.approx(math.log(0.5 * 0.95**2))
    assert Capital().later(59.9).cash == Capital().cash
