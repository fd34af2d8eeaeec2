"""Bounds that are known elsewhere."""

import math

import pytest

from foundry_rollouts.bench.bounds import calls_bound, divergence, upper_bound
from foundry_rollouts.core.model.policy import Margin


@pytest.mark.parametrize(
    ("hits", "runs", "bound"),
    [(0, 300, 0.009936), (0, 3000, 0.000998), (3, 1000, 0.007738), (10, 10, 1.0), (5, 10, 0.7776)],
)
def test_the_upper_bound_is_that_of_clopper_and_pearson(hits: int, runs: int, bound: float) -> None:
    assert upper_bound(hits, runs) == pytest.approx(bound, rel=1e-3)


def test_the_divergence_of_a_certain_failure_is_its_surprise() -> None:
    assert divergence(1.0, 0.25) == pytest.approx(math.log(4))
    assert divergence(0.0, 0.25) == pytest.approx(-math.log(0.75))
    assert divergence(0.3, 0.3) == 0.0


def test_a_canary_that_is_seldom_called_is_told_by_its_own_calls_alone() -> None:
    """At a vanishing share, stable's rate is as good as known."""
    share = 1e-6
    alone = math.log(100) / divergence(0.05, 0.01)
    assert calls_bound(0.05, 0.01, share, Margin(1.0), 0.01) * share == pytest.approx(alone, rel=1e-3)


def test_tolerance_makes_harm_harder_to_prove() -> None:
    strict, lenient = (calls_bound(0.05, 0.01, 0.1, Margin(ratio), 0.01) for ratio in (1.0, 1.2))
    assert lenient > strict
