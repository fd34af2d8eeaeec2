"""Quiet hours of a target: ``22:00-07:00 Europe/Berlin``, perhaps with ``Sat,Sun`` before it.

What is not urgent waits until they are over, by the clock on the wall of that zone.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FORM = "write '22:00-07:00 Europe/Berlin', or 'Sat,Sun 00:00-24:00 UTC'"
_TEXT = re.compile(
    r"(?:(?P<days>[A-Z][a-z]{2}(?:,[A-Z][a-z]{2})*) )?(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d) (?P<zone>\S+)"
)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A span of each day, or of some: it begins on that day, and ends on the next where it goes over midnight."""

    days: frozenset[int]  #: As ``date.weekday`` counts them.
    begin: timedelta  #: Since midnight, on the clock.
    end: timedelta
    zone: ZoneInfo

    def until(self, now: datetime) -> datetime | None:
        """Return when the quiet that holds at ``now`` is over, however many spans that touch; None: it is not quiet."""
        over = now
        for _ in range(len(DAYS) + 1):
            following = self._end_of_span(over)
            if following is None:
                break
            over = following
        return None if over == now else over

    def _end_of_span(self, now: datetime) -> datetime | None:
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            begin, end = self._at(day, self.begin), self._at(day, self.end)
            if end <= begin:
                end = self._at(day + timedelta(days=1), self.end)
            if day.weekday() in self.days and begin <= now < end:
                return end
        return None

    def _at(self, day: date, clock: timedelta) -> datetime:
        """Return the instant at which the clock shows that; an hour that the clock skips begins when it is over."""
        shown = datetime.combine(day, time()) + clock
        return shown.replace(tzinfo=self.zone).astimezone(UTC)


def quiet_hours(text: str) -> QuietHours:
    """Return what ``text`` says. Raises ValueError."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} are no quiet hours: {FORM}")
    names = found["days"].split(",") if found["days"] else DAYS
    if unknown := [name for name in names if name not in DAYS]:
        raise ValueError(f"{unknown[0]!r} is no day: write {', '.join(DAYS)}")
    try:
        zone = ZoneInfo(found["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{found['zone']!r} is no time zone: write Europe/Berlin, or UTC") from None
    begin, end = _clock(found["begin"]), _clock(found["end"])
    if begin == end:
        raise ValueError(f"{text!r} begin when they end: {FORM}")
    if end - begin >= timedelta(days=1) and set(names) == set(DAYS):
        raise ValueError(f"{text!r} are always: what is held then would never be sent")
    return QuietHours(frozenset(map(DAYS.index, names)), begin, end, zone)


def _clock(text: str) -> timedelta:
    hours, minutes = map(int, text.split(":"))
    clock = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or clock > timedelta(days=1):
        raise ValueError(f"{text!r} is no time of a day: {FORM}")
    return clock
