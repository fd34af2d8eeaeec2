"""What is counted: how counts add up, and how latencies fall into buckets."""

from datetime import timedelta

import pytest

from builders import NOON
from foundry_rollouts.core.model.measurement import Counts, Measurement, Sample, Window, bucket_of, quantile, seconds_of


def test_counts_of_one_version_add_up_name_by_name() -> None:
    one = Counts(10, 3, 2, (("HTTP 500", 2), ("timeout", 1)), ((3, 4), (7, 6)))
    other = Counts(5, 2, 1, (("HTTP 500", 1), ("HTTP 404", 1)), ((7, 1), (9, 4)))
    assert one + other == Counts(15, 5, 3, (("HTTP 404", 1), ("HTTP 500", 3), ("timeout", 1)), ((3, 4), (7, 7), (9, 4)))
    assert one + Counts() == Counts() + one == one


def test_numbers_that_are_no_counts_are_replaced_by_later_ones() -> None:
    early, late = Counts(values=(("cost", 1.0),)), Counts(values=(("cost", 3.0),))
    assert (early + late).values == (("cost", 3.0),)
    assert (early + Counts()).values == (("cost", 1.0),)


def test_a_sample_counts_once_in_all_that_it_is() -> None:
    assert Sample().as_counts() == Counts(calls=1)
    failed = Sample("HTTP 500", timedelta(milliseconds=1), has_log_error=True)
    assert failed.as_counts() == Counts(1, 1, 1, (("HTTP 500", 1),), ((0, 1),))
    assert Sample(has_log_error=True).as_counts().failures == 0


def test_a_call_without_a_name_for_its_failure_failed_all_the_same() -> None:
    assert Sample("").as_counts() == Counts(calls=1, failures=1)


@pytest.mark.parametrize(("milliseconds", "bucket"), [(0, 0), (1, 0), (1.05, 1), (1.15, 2), (1000, 73), (1100, 74)])
def test_a_bucket_ends_a_tenth_above_the_one_before(milliseconds: float, bucket: int) -> None:
    assert bucket_of(timedelta(milliseconds=milliseconds)) == bucket


def test_a_bucket_is_told_by_its_upper_edge() -> None:
    assert seconds_of(0) == pytest.approx(0.001)
    assert seconds_of(10) == pytest.approx(0.001 * 1.1**10)


@pytest.mark.parametrize(("share", "bucket"), [(0.0, 1), (0.1, 1), (0.5, 4), (0.51, 6), (0.9, 6), (0.91, 9), (1.0, 9)])
def test_a_quantile_is_the_first_bucket_with_that_share_at_or_below_it(share: float, bucket: int) -> None:
    assert quantile(((1, 1), (4, 4), (6, 4), (9, 1)), share) == bucket


def test_a_window_is_as_long_as_from_its_start_to_its_end() -> None:
    assert Window(NOON, NOON + timedelta(seconds=90)).seconds == 90


def test_a_version_that_nothing_is_told_of_has_no_counts() -> None:
    window = Window(NOON, NOON)
    assert Measurement("probe", window, canary=Counts(1)) == Measurement("probe", window, Counts(), Counts(1))
    assert Measurement("probe", window, Counts(1)).canary == Counts()
