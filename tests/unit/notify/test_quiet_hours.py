"""Quiet hours by the clock on the wall: over midnight, on some days, over changes of the clock."""

from datetime import UTC, datetime

import pytest

from foundry_rollouts.notify.quiet import quiet_hours


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        ("22:00-07:00 UTC", "2026-03-02T21:59:59", None),
        ("22:00-07:00 UTC", "2026-03-02T22:00:00", "2026-03-03T07:00:00"),
        ("22:00-07:00 UTC", "2026-03-03T06:59:59", "2026-03-03T07:00:00"),
        ("22:00-07:00 UTC", "2026-03-03T07:00:00", None),
        ("12:00-13:00 UTC", "2026-03-03T12:30:00", "2026-03-03T13:00:00"),
        # On the last day of February of a leap year, over midnight.
        ("22:00-07:00 UTC", "2028-02-28T23:00:00", "2028-02-29T07:00:00"),
        ("Sat,Sun 00:00-24:00 UTC", "2026-03-06T23:59:59", None),
        ("Sat,Sun 00:00-24:00 UTC", "2026-03-07T00:00:00", "2026-03-09T00:00:00"),
        ("Fri 22:00-07:00 UTC", "2026-03-07T06:00:00", "2026-03-07T07:00:00"),
        ("Fri 22:00-07:00 UTC", "2026-03-08T06:00:00", None),
        # The clock goes forward at 01:00 UTC: the night is an hour shorter.
        ("22:00-07:00 Europe/Berlin", "2026-03-28T21:00:00", "2026-03-29T05:00:00"),
        # The clock goes back: the night is an hour longer.
        ("22:00-07:00 Europe/Berlin", "2026-10-24T20:00:00", "2026-10-25T06:00:00"),
        # 02:30 is skipped that night: it begins when 03:30 is shown.
        ("02:30-04:00 Europe/Berlin", "2026-03-29T01:29:00", None),
        ("02:30-04:00 Europe/Berlin", "2026-03-29T01:31:00", "2026-03-29T02:00:00"),
        ("Mon,Tue,Wed 00:00-24:00 UTC", "2026-03-02T12:00:00", "2026-03-05T00:00:00"),
    ],
)
def test_it_is_quiet_until(hours: str, now: str, until: str | None) -> None:
    found = quiet_hours(hours).until(at(now))
    assert found == (at(until) if until else None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("at night", "are no quiet hours"),
        ("22:00-07:00", "are no quiet hours"),
        ("22:00-07:00 Mars/Olympus", "is no time zone"),
        ("22:00-07:00 ../etc", "is no time zone"),
        ("25:00-07:00 UTC", "is no time of a day"),
        ("22:60-07:00 UTC", "is no time of a day"),
        ("07:00-07:00 UTC", "begin when they end"),
        ("00:00-24:00 UTC", "are always"),
        ("Tod 07:00-08:00 UTC", "is no day"),
    ],
)
def test_what_are_no_quiet_hours_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        quiet_hours(text)
