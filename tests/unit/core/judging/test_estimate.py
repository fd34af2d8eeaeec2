"""What stable is thought to fail at: how it is learnt, how it fades, and when it is known."""

import pytest

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import HALF_LIFE
from foundry_rollouts.core.judging.estimate import StableEstimate, estimate_from

FRESH = Tally(stable_calls=100, stable_failures=10)


def test_history_counts_as_five_hundred_calls_at_most() -> None:
    small = estimate_from(Tally(stable_calls=200, stable_failures=4))
    assert (small.old_calls, small.old_failures) == (200, 4)
    large = estimate_from(Tally(stable_calls=2000, stable_failures=40))
    assert (large.old_calls, large.old_failures) == (500, 10)
    assert estimate_from(None) == estimate_from(Tally()) == StableEstimate()


def test_nothing_known_is_a_guess_of_one_in_a_hundred() -> None:
    assert StableEstimate().rate == 0.01
    assert estimate_from(Tally(stable_calls=200, stable_failures=4)).rate == pytest.approx(4.5 / 250)


def test_it_is_known_from_thirty_calls_on_rather_too_little_than_too_much() -> None:
    assert StableEstimate(calls=29.9, failures=3).known is None
    assert StableEstimate(calls=30, failures=3).known == pytest.approx(3.5 / 80)
    assert StableEstimate(calls=20, failures=0.1, old_calls=20, old_failures=0.1).known == pytest.approx(0.005)


def test_calls_of_the_trial_fade_by_half_in_a_half_life() -> None:
    once = StableEstimate().after(FRESH, 10.0)
    assert (once.calls, once.failures, once.fresh) == (100, 10, 100)
    twice = once.after(FRESH, HALF_LIFE)
    assert (twice.calls, twice.failures) == pytest.approx((150, 15))


def test_what_was_known_before_stays_until_two_hundred_calls_of_now_are_known_and_then_fades_too() -> None:
    estimate = estimate_from(Tally(stable_calls=500, stable_failures=50))
    for known, old in ((100, 500), (200, 500), (200, 250), (200, 125)):
        estimate = estimate.after(FRESH, HALF_LIFE)
        assert estimate.fresh == known
        assert (estimate.old_calls, estimate.old_failures) == pytest.approx((old, old / 10))


def test_nothing_fails_always_or_never() -> None:
    assert StableEstimate(calls=1e9).rate == 2e-5
    assert StableEstimate(calls=1e9, failures=1e9).rate == 0.95
