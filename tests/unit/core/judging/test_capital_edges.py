"""The evidence on its edges: just enough, next to nothing, and stable gone."""

import math

import pytest

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import NEVER, Capital, EProcess, Hypotheses, calls_needed
from foundry_rollouts.core.judging.estimate import StableEstimate
from foundry_rollouts.core.model.policy import Margin
from foundry_rollouts.errors import UsageError

DEFAULT = Hypotheses(tolerate=Margin(1.2), bad=Margin(1.5, 0.005))
GOAL = -math.log(0.05)


def test_counts_that_cannot_be_are_told_whole() -> None:
    with pytest.raises(
        UsageError, match=r"Tally\(canary_calls=1, canary_failures=2.*failures are counted among the calls"
    ):
        Tally(1, 2)


def test_a_margin_is_excluded_by_just_enough_evidence() -> None:
    ladder = (GOAL, GOAL, math.nextafter(GOAL, 0), 0.0, 0.0, 0.0, 0.0, 0.0)
    assert EProcess(ladder=ladder).at_most_worse(0.05) == 0.32


def test_what_just_enough_evidence_proves_needs_no_more_calls_even_where_none_would_help() -> None:
    hopeless = Hypotheses(Margin(1.0), Margin(1.0))
    assert calls_needed(EProcess(safe=(GOAL, -math.inf)), hopeless, GOAL, 0.5) == 0
    assert calls_needed(EProcess(safe=(math.nextafter(GOAL, 0), -math.inf)), hopeless, GOAL, 0.5) == NEVER


@pytest.mark.parametrize(
    ("guess", "rate"), [(StableEstimate(0.0, 1e9), 2e-5), (StableEstimate(1e9, 1e9), 0.95), (StableEstimate(), 0.01)]
)
def test_stable_is_never_thought_to_fail_always_or_never(guess: StableEstimate, rate: float) -> None:
    assert guess.rate == rate


def test_a_stable_call_counts_half_after_five_minutes() -> None:
    assert StableEstimate(8.0, 80.0).after(Tally(0, 0, 10, 1), 300.0) == StableEstimate(5.0, 50.0, fresh=10.0)


@pytest.mark.parametrize(
    ("guess", "known"),
    [
        (StableEstimate(0.0, 29.9), None),
        (StableEstimate(0.0, 30.0), 2e-5),
        (StableEstimate(0.0, 20.0, 0.0, 10.0), 2e-5),
        (StableEstimate(3.0, 100.0), (3.0 + 0.5) / 150.0),
        (StableEstimate(1.0, 500.0), 1 / 500.0),
        (StableEstimate(10.0, 10.0, 90.0, 90.0), (100 + 0.5) / 150),
    ],
)
def test_of_stable_rather_too_few_failures_are_taken_as_known(guess: StableEstimate, known: float | None) -> None:
    assert guess.known == known


def test_the_clock_of_the_stakes_keeps_the_seconds_that_are_left_of_a_minute() -> None:
    later = Capital().later(150.0)
    assert later.clock == pytest.approx(30.0)
    assert later.cash == pytest.approx(math.log(0.5 * 0.95**2))
    assert Capital().later(59.9).cash == Capital().cash
