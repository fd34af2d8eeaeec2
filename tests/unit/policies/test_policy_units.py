"""Durations, percents and margins as texts."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from foundry_rollouts.core.model.policy import Margin
from foundry_rollouts.policies.units import parse_duration, parse_margin, parse_percent, span_text


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30s", timedelta(seconds=30)),
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("500ms", timedelta(seconds=0.5)),
        ("0s", timedelta(0)),
    ],
)
def test_a_duration_is_a_number_and_a_unit_or_several_in_falling_order(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "5", 5, 5.0, True, None, "-5s", "5 s", "s", "1m1h", "1m1m", "1d", "1h\n", "inf"])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(PydanticCustomError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 365 * 24 * 3600 * 1000))
def test_a_span_comes_back_from_its_text(milliseconds: int) -> None:
    span = timedelta(milliseconds=milliseconds)
    assert parse_duration(span_text(span)) == span


def test_a_percentage_is_the_fraction_that_people_mean() -> None:
    assert [parse_percent(text) for text in ("1%", "0.1%", "20%", "100%")] == [0.01, 0.001, 0.2, 1.0]


@pytest.mark.parametrize("text", ["1", 1, 0.01, True, "0%", "101%", "-1%", "1 %", "%", None])
def test_a_percentage_without_its_sign_or_out_of_range_is_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        parse_percent(text)


def test_a_margin_is_a_ratio_and_perhaps_points() -> None:
    assert [parse_margin(text) for text in ("1.2x", "1x + 1pp", "1.5x+0.5pp", "1x   +  2pp")] == [
        Margin(1.2),
        Margin(1, 0.01),
        Margin(1.5, 0.005),
        Margin(1, 0.02),
    ]


@pytest.mark.parametrize("text", [1.2, "1.2", "0.9x", "x", "1x + 1%", "1x + 100pp", "0.5pp", "1x - 1pp", "1001x", None])
def test_a_margin_in_any_other_form_is_refused(text: object) -> None:
    with pytest.raises(PydanticCustomError):
        parse_margin(text)


@given(st.integers(10, 1000), st.integers(0, 999))
def test_a_margin_comes_back_from_its_text(tenths: int, tenths_of_points: int) -> None:
    margin = Margin(tenths / 10, tenths_of_points / 10 / 100)
    assert parse_margin(str(margin)) == margin
