"""What holds at an instant, and until when: clocks that jump, leap days, midnights, zones that changed their rules."""

from datetime import UTC, datetime, time, timedelta

import pytest

from foundry_rollouts.core.model.calendar import Calendar, CalendarFile, Hours, Span, closed_at

BERLIN, WEEK = "Europe/Berlin", tuple(range(7))
WEEKDAYS = tuple(range(5))
OFFICE = Calendar(windows=(Hours(WEEKDAYS, time(9), time(16, 30), BERLIN),))
NIGHT = Calendar(freezes=(Hours(WEEK, time(22), time(6), BERLIN, "night"),))
SMALL_HOURS = Calendar(freezes=(Hours(WEEK, time(2, 15), time(2, 45), BERLIN),))
FRIDAY = Calendar(freezes=(Hours((4,), time(14), time(), BERLIN),))
LEAP = Calendar(
    freezes=(Span(datetime(2028, 2, 28, 23, tzinfo=UTC), datetime(2028, 2, 29, 23, tzinfo=UTC), "leap day"),)
)
#: Samoa left out the 30th of December 2011, and Egypt has had summer time again since 2023.
SAMOA = Calendar(windows=(Hours((4,), time(9), time(17), "Pacific/Apia"),))
CAIRO = Calendar(windows=(Hours(WEEK, time(9), time(17), "Africa/Cairo"),))
CASES = {
    "before office hours in winter": (OFFICE, "2026-01-12T07:59", "2026-01-12T08:00"),
    "office hours in winter": (OFFICE, "2026-01-12T08:00", None),
    "office hours in summer": (OFFICE, "2026-07-13T07:00", None),
    "after the last office hour": (OFFICE, "2026-07-13T14:30", "2026-07-14T07:00"),
    "the weekend of summer time": (OFFICE, "2026-03-27T15:30", "2026-03-30T07:00"),
    "the weekend of winter time": (OFFICE, "2026-10-23T14:30", "2026-10-26T08:00"),
    "a night over midnight": (NIGHT, "2026-06-10T21:00", "2026-06-11T04:00"),
    "a night behind midnight": (NIGHT, "2026-06-11T03:59", "2026-06-11T04:00"),
    "the morning after it": (NIGHT, "2026-06-11T04:00", None),
    "the short night": (NIGHT, "2026-03-28T22:00", "2026-03-29T04:00"),
    "the long night": (NIGHT, "2026-10-24T22:00", "2026-10-25T05:00"),
    "an hour that the clocks skip": (SMALL_HOURS, "2026-03-29T01:20", "2026-03-29T01:45"),
    "an hour that they repeat, at first": (SMALL_HOURS, "2026-10-25T00:20", "2026-10-25T01:45"),
    "an hour that they repeat, again": (SMALL_HOURS, "2026-10-25T01:20", "2026-10-25T01:45"),
    "friday until midnight": (FRIDAY, "2026-06-12T21:59", "2026-06-12T22:00"),
    "a leap day": (LEAP, "2028-02-29T12:00", "2028-02-29T23:00"),
    "the day after a leap day": (LEAP, "2028-02-29T23:00", None),
    "a friday that was left out": (SAMOA, "2011-12-30T06:00", "2012-01-05T19:00"),
    "a zone before its rules changed": (CAIRO, "2022-07-01T06:30", "2022-07-01T07:00"),
    "a zone after its rules changed": (CAIRO, "2023-07-03T06:30", None),
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("case", CASES)
def test_what_holds_and_until_when(case: str) -> None:
    calendar, now, until = CASES[case]
    closed = closed_at(calendar, at(now), {})
    assert (closed.until if closed else None) == (at(until) if until else None)
    if closed and closed.until:
        assert closed_at(calendar, closed.until, {}) is None, "it really is open then"
        assert closed_at(calendar, closed.until - timedelta(microseconds=1), {}) is not None


def test_freezes_that_touch_are_one_and_end_within_the_hours() -> None:
    both = Calendar(OFFICE.windows, (Span(at("2026-06-11T06:00"), at("2026-06-12T16:00"), "release"), *FRIDAY.freezes))
    closed = closed_at(both, at("2026-06-11T10:00"), {})
    assert closed is not None
    assert (closed.until, closed.is_freeze) == (at("2026-06-15T07:00"), True)
    assert closed.because == "a freeze (release) holds until 2026-06-15 07:00 UTC"


def test_a_file_of_which_nothing_is_known_holds_and_one_that_is_read_does_not() -> None:
    file = CalendarFile("freezes.ics")
    calendar = Calendar(freezes=(file,))
    closed = closed_at(calendar, at("2026-06-11T10:00"), {file: "it is no iCalendar file"})
    assert closed is not None
    assert closed.because == "the calendar freezes.ics cannot be read (it is no iCalendar file), and it may be a freeze"
    assert closed_at(calendar, at("2026-06-11T10:00"), {file: ()}) is None


def test_windows_that_never_come_have_no_end_in_sight() -> None:
    past = Calendar(windows=(Span(at("2020-01-01T00:00"), at("2020-01-02T00:00")),))
    closed = closed_at(past, at("2026-06-11T10:00"), {})
    assert closed is not None
    assert closed.until is None
