"""When nothing may begin or rise: freezes and allowed hours, and the one question asked of them.

``closed_at`` is pure: what holds at an instant, and until when. Local times are those of the zone's clocks: an hour
that the clocks skip is the hour after it, and of one that they repeat a freeze holds both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
#: How far ahead the end of a freeze, or the next allowed hour, is searched.
HORIZON = 400 * DAY
_MIDNIGHT = time()
#: Marks what says where a policy's file lies: it is no part of what the policy says.
OF_PLACE = {"is_place": True}


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open span ``[since, until)`` of a calendar, and what it says of it."""

    since: datetime
    until: datetime
    reason: str = ""

    def holds(self, at: datetime) -> bool:
        return self.since <= at < self.until


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of some days of the week, every week; where they end no later than they begin, on the day after."""

    days: tuple[int, ...]  #: 0 is Monday.
    start: time = _MIDNIGHT
    end: time = _MIDNIGHT
    zone: str = "UTC"
    reason: str = ""

    def on(self, day: date, *, is_wide: bool) -> Span | None:
        """Return the hours that begin on ``day``; None where the zone left that day out.

        Wide ones hold both of an hour that the clocks repeat.
        """
        since = _at(day, self.start, self.zone)
        if since.astimezone(ZoneInfo(self.zone)).date() != day:
            return None
        last = day if self.end > self.start else day + DAY
        ends = [_at(last, self.end, self.zone, fold) for fold in ((0, 1) if is_wide else (0,))]
        return Span(since, max(ends), self.reason)


@dataclass(frozen=True, slots=True)
class CalendarFile:
    """An iCalendar file whose events are the spans; ``zone`` is that of all-day events and times without a zone."""

    path: str
    zone: str = "UTC"
    reason: str = ""
    folder: str = field(default="", metadata=OF_PLACE)  #: Where the path begins.


#: One entry of a calendar: hours of every week, one span, or a file of events.
Entry = Hours | Span | CalendarFile
#: What the files hold: their spans, or why they cannot be read.
FilesRead = Mapping[CalendarFile, Sequence[Span] | str]


@dataclass(frozen=True, slots=True)
class Calendar:
    """When rollouts may begin and rise (``windows``; empty: always), and when they may not (``freezes``)."""

    windows: tuple[Entry, ...] = ()
    freezes: tuple[Entry, ...] = ()

    @property
    def files(self) -> tuple[CalendarFile, ...]:
        return tuple(entry for entry in (*self.windows, *self.freezes) if isinstance(entry, CalendarFile))


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing may begin or rise now; ``until`` is the first instant at which it may, None: not in sight."""

    because: str
    until: datetime | None
    is_freeze: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """A calendar with what its files hold."""

    calendar: Calendar
    files: FilesRead = field(default_factory=dict)

    def freeze_at(self, at: datetime) -> Span | None:
        """Return the freeze that holds at ``at`` and ends last."""
        spans = (span for entry in self.calendar.freezes for span in self._spans(entry, at, is_wide=True))
        return max((span for span in spans if span.holds(at)), key=lambda span: span.until, default=None)

    def is_allowed(self, at: datetime) -> bool:
        if not self.calendar.windows:
            return True
        return any(span.holds(at) for entry in self.calendar.windows for span in self._spans(entry, at, is_wide=False))

    def next_window(self, at: datetime) -> datetime | None:
        """Return when the next allowed hours begin behind ``at``."""
        starts = (
            span.since
            for entry in self.calendar.windows
            for span in self._spans(entry, at, is_wide=False)
            if span.since > at and span.until > span.since
        )
        return min(starts, default=None)

    def open_from(self, at: datetime) -> datetime | None:
        """Return the first instant from ``at`` on at which nothing holds; None: not in sight."""
        limit = at + HORIZON
        while at < limit:
            if freeze := self.freeze_at(at):
                at = freeze.until
            elif self.is_allowed(at):
                return at
            elif (window := self.next_window(at)) is None:
                return None
            else:
                at = window
        return None

    def _spans(self, entry: Entry, at: datetime, *, is_wide: bool) -> Iterator[Span]:
        if isinstance(entry, Span):
            yield entry
        elif isinstance(entry, Hours):
            day = at.astimezone(ZoneInfo(entry.zone)).date()
            near = (day + number * DAY for number in range(-2, 9))
            spans = (entry.on(each, is_wide=is_wide) for each in near if each.weekday() in entry.days)
            yield from (span for span in spans if span is not None)
        else:
            read = self.files.get(entry, ())
            yield from () if isinstance(read, str) else read


def closed_at(calendar: Calendar, at: datetime, files: FilesRead) -> Closed | None:
    """Say what keeps rollouts from beginning and rising at ``at``, and until when; None: nothing does.

    A file that cannot be read, and of which nothing is known, holds: it may be a freeze.
    """
    for file in calendar.files:
        if isinstance(why := files.get(file, "it was not read yet"), str):
            return Closed(f"the calendar {file.path} cannot be read ({why}), and it may be a freeze", None, True)
    asked = _Question(calendar, files)
    if freeze := asked.freeze_at(at):
        until = asked.open_from(at)
        why = f" ({freeze.reason})" if freeze.reason else ""
        return Closed(f"a freeze{why} holds{_until(until)}", until, True)
    if asked.is_allowed(at):
        return None
    until = asked.open_from(at)
    return Closed(
        f"these are no hours in which rollouts may begin or rise; the next ones begin{_at_text(until)}", until, False
    )


def _at(day: date, clock: time, zone: str, fold: int = 0) -> datetime:
    return datetime.combine(day, clock.replace(fold=fold), ZoneInfo(zone)).astimezone(UTC)


def _until(until: datetime | None) -> str:
    return f" until {instant(until)}" if until else ", and its end is not in sight"


def _at_text(until: datetime | None) -> str:
    return f" at {instant(until)}" if until else " at no time that is in sight"


def instant(at: datetime) -> str:
    """Return an instant as people read it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
