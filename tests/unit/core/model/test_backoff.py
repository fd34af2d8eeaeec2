"""What is tried again waits ever longer; what goes on is reported again ever more rarely."""

from datetime import timedelta

import pytest

from builders import NOON
from foundry_rollouts.core.model.backoff import (
    BACK,
    DAY,
    FORWARD,
    Backoff,
    Refusing,
    is_reminder_due,
    refused_again,
    spelled,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [(FORWARD, [10, 20, 40, 80, 160, 300, 300]), (BACK, [1, 2, 4, 8, 16, 30, 30])],
    ids=["forward", "back"],
)
def test_pauses_double_up_to_the_longest(backoff: Backoff, pauses: list[int]) -> None:
    assert [backoff.pause(times) for times in range(1, 8)] == [pause * SECOND for pause in pauses]
    assert backoff.pause(10_000) == backoff.most


def test_a_step_keeps_the_pause_that_the_cloud_asks_for_and_a_way_back_keeps_half_a_minute_of_it() -> None:
    assert FORWARD.pause(1, HOUR) == HOUR
    assert FORWARD.pause(1, 2 * DAY) == DAY
    assert FORWARD.pause(6, SECOND) == 5 * MINUTE
    assert BACK.pause(1, HOUR) == 30 * SECOND
    assert BACK.pause(1, 3 * SECOND) == 3 * SECOND


def test_each_kind_of_refusal_is_told_once_and_the_pauses_go_on() -> None:
    first = refused_again(None, Refusing("403", "no"), FORWARD, NOON)
    assert (first.times, first.until, first.told) == (1, NOON + 10 * SECOND, ("403",))
    second = refused_again(first, Refusing("403", "no"), FORWARD, NOON + MINUTE)
    assert (second.times, second.until, second.told) == (2, NOON + 80 * SECOND, ("403",))
    third = refused_again(second, Refusing("500", "oops"), FORWARD, NOON + 2 * MINUTE)
    assert (third.since, third.at, third.told) == (NOON, NOON + 2 * MINUTE, ("403", "500"))


def test_a_refusal_is_said_with_how_often_and_when_it_is_tried_again() -> None:
    once = refused_again(None, Refusing("403", "the cloud refuses the step to 10%: 403"), FORWARD, NOON)
    assert once.sentence(NOON) == "the cloud refuses the step to 10%: 403; tried again in 10 s"
    twice = refused_again(once, Refusing("403", "no"), FORWARD, NOON + MINUTE)
    assert twice.sentence(NOON + MINUTE) == "no, 2 times since 12:00:00; tried again in 20 s"


def test_reminders_come_after_a_quarter_of_an_hour_an_hour_four_hours_and_then_daily() -> None:
    told, told_at = [], NOON
    for minute in range(1, 4 * 24 * 60):
        now = NOON + minute * MINUTE
        if is_reminder_due(NOON, told_at, now):
            told.append(now - NOON)
            told_at = now
    assert told == [15 * MINUTE, HOUR, 4 * HOUR, DAY, 2 * DAY, 3 * DAY]


def test_spans_are_said_as_people_say_them() -> None:
    assert [spelled(span) for span in (-SECOND, 40 * SECOND, 5 * MINUTE, 3 * HOUR)] == ["0 s", "40 s", "5 min", "3 h"]
