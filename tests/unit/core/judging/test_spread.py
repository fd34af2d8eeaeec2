"""How many calls fail together: each number of the estimate."""

import pytest

from foundry_rollouts.core.judging.constants import CLUSTER_HALF_LIFE
from foundry_rollouts.core.judging.spread import Spread


def test_an_interval_adds_its_square_and_what_was_due() -> None:
    spread = Spread().after(1000, 16, 0.01, 10.0)
    assert (spread.squares, spread.expected) == pytest.approx((36 / 0.99, 10))


def test_an_interval_out_of_all_proportion_counts_as_the_largest_cluster_does() -> None:
    assert Spread().after(1000, 400, 0.01, 10.0).squares == pytest.approx(20 * 400)
    assert Spread().after(1000, 0, 0.9, 10.0).squares == pytest.approx(20 * 900)


def test_what_was_seen_counts_half_after_half_an_hour() -> None:
    later = Spread(squares=80.0, expected=40.0).after(0, 0, 0.01, CLUSTER_HALF_LIFE)
    assert (later.squares, later.expected) == pytest.approx((40, 20))


@pytest.mark.parametrize(
    ("squares", "expected", "cluster"),
    [(0.0, 0.0, 9.0), (12.0, 9.0, 3.0), (0.0, 98.0, 1.0), (88.0, 98.0, 1.0), (98.0, 98.0, 1.16), (1e6, 98.0, 20.0)],
)
def test_the_cluster_is_the_mean_one_and_what_it_has_above_one_counts_twice(
    squares: float, expected: float, cluster: float
) -> None:
    assert Spread(squares, expected).cluster == pytest.approx(cluster)
