"""Where a number must lie: the bound itself still does."""

from typing import Any

import pytest

from foundry_rollouts.core.model.bounds import Bounds


@pytest.mark.parametrize(
    ("bounds", "on_it", "beyond"),
    [
        ({"min": 2}, 2.0, 1.99),
        ({"max": 5}, 5.0, 5.01),
        ({"at_least": 0.5}, 2.0, 1.99),
        ({"at_most": 1.5}, 6.0, 6.01),
    ],
)
def test_a_number_on_its_bound_lies_within_it(bounds: dict[str, Any], on_it: float, beyond: float) -> None:
    assert Bounds("cost", **bounds).violation(on_it, stable=4.0) is None
    assert Bounds("cost", **bounds).violation(beyond, stable=4.0) is not None


@pytest.mark.parametrize("bounds", [{"min": 3, "max": 3}, {"at_least": 2, "at_most": 2}, {"max": 0, "windows": 1}])
def test_bounds_may_leave_room_for_one_number_only(bounds: dict[str, Any]) -> None:
    assert Bounds("cost", **bounds).name == "cost"


@pytest.mark.parametrize(
    ("bounds", "is_relative"),
    [({"at_least": 1}, True), ({"at_most": 1}, True), ({"min": 1}, False), ({"min": 1, "at_most": 1}, True)],
)
def test_a_multiple_of_stables_number_is_relative(bounds: dict[str, Any], is_relative: bool) -> None:
    assert Bounds("cost", **bounds).is_relative is is_relative


def test_without_stables_number_only_the_absolute_bounds_are_held() -> None:
    bounds = Bounds("cost", max=9, at_most=2)
    assert bounds.violation(8, stable=None) is None
    assert bounds.violation(8, stable=3) == "8 is above 2x stable's 3"
    assert bounds.violation(10, stable=None) == "10 is above 9"


def test_three_windows_decide_unless_the_policy_says_otherwise() -> None:
    assert Bounds("cost", max=1).windows == 3
