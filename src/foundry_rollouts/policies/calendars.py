"""Calendars that stand in files: iCalendar files that policies name, and the calendar of all agents.

A file is read again when it changes. A broken one gives one line and never replaces the last good one.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from foundry_rollouts.core.model.calendar import HORIZON, Calendar, CalendarFile, FilesRead, Span
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.errors import UsageError
from foundry_rollouts.policies.calendar_entries import CalendarEntry, calendar_of
from foundry_rollouts.policies.documents import BrokenYamlError, read_documents
from foundry_rollouts.policies.report import check

#: How long what was unfolded of a file holds: events come back without end.
UNFOLDED_FOR = timedelta(days=1)
#: The largest file, and the most spans of one.
MOST_BYTES, MOST_SPANS = 5_000_000, 20_000
NOTHING = Calendar()


def spans_in(file: CalendarFile, now: datetime) -> tuple[Span, ...]:
    """Return the spans of an iCalendar file around ``now``. Raises UsageError, in one line, for a broken one."""
    import icalendar
    import recurring_ical_events

    try:
        content = icalendar.Calendar.from_ical(_bytes_of(_place_of(file)))
        events = recurring_ical_events.of(content).between(now - HORIZON / 4, now + HORIZON)
    except OSError as error:
        raise UsageError(error.strerror or str(error)) from error
    except UsageError:
        raise
    except Exception as error:  # the libraries raise whatever they meet
        raise UsageError(f"it is no iCalendar file: {' '.join(str(error).split())[:200]}") from error
    if len(events) > MOST_SPANS:
        raise UsageError(f"it has more than {MOST_SPANS} events within {HORIZON.days} days")
    return tuple(sorted(_spans(events, file), key=lambda span: span.since))


def calendar_problems(policies: Iterable[Policy], now: datetime) -> list[str]:
    """Return a line for each iCalendar file of ``policies`` that cannot be read."""
    return [line for policy in policies for file in policy.calendar.files for line in _problem(file, now)]


def _problem(file: CalendarFile, now: datetime) -> Iterator[str]:
    try:
        spans_in(file, now)
    except UsageError as error:
        yield f"{_place_of(file)}:1:1: {error}: fix the file, or the path that the policy names"


def _place_of(file: CalendarFile) -> Path:
    return Path(file.folder) / file.path


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise UsageError(f"it is larger than {MOST_BYTES // 1_000_000} MB")
    return path.read_bytes()


def _spans(events: list[object], file: CalendarFile) -> Iterator[Span]:
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":  # type: ignore[attr-defined]
            continue
        since, until = event.start, event.end  # type: ignore[attr-defined]
        reason = file.reason or " ".join(str(event.get("SUMMARY", "")).split())[:200]  # type: ignore[attr-defined]
        yield Span(_instant(since, file.zone), _instant(until, file.zone), reason)


def _instant(at: datetime | date, zone: str) -> datetime:
    """Return an instant of a calendar; an all-day event is one of the days of ``zone``."""
    if not isinstance(at, datetime):
        at = datetime.combine(at, time())
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


@dataclass(slots=True)
class _Known:
    """What is known of one file."""

    mark: tuple[int, int] | None
    at: datetime
    spans: tuple[Span, ...] | None = None  #: The last good ones.
    problem: str | None = None


@dataclass(slots=True)
class CalendarFiles:
    """Satisfies ``ports.Calendars``; ``path`` is the calendar of all agents, None: there is none."""

    path: Path | None = None
    _files: dict[CalendarFile, _Known] = field(default_factory=dict)
    _global: Calendar | None = None
    _mark: tuple[int, int] | None = None
    _problem: str | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with files, one line each."""
        lines = [f"{_place_of(file)}: {known.problem}" for file, known in self._files.items() if known.problem]
        return (*lines, *([self._problem] if self._problem else []))

    async def of_all(self) -> Calendar | str:
        """Return the calendar of all agents; why it cannot be read, where no good one is known."""
        if self.path is None:
            return NOTHING
        mark = _mark_of(self.path)
        if mark is None or mark != self._mark:
            self._mark = mark
            await asyncio.to_thread(self._read_global, self.path)
        return self._global if self._global is not None else self._problem or "it cannot be read"

    def _read_global(self, path: Path) -> None:
        try:
            documents = read_documents(path, str(path))
            entry, problems = check(CalendarEntry, documents[0]) if documents else (CalendarEntry(), [])
        except BrokenYamlError as error:
            self._problem = str(error)
            return
        if entry is None:
            self._problem = documents[0].line(problems[0])
            return
        self._global, self._problem = calendar_of(entry.windows, entry.freeze, path.parent), None

    async def read(self, calendar: Calendar, now: datetime) -> FilesRead:
        """Return what the files of ``calendar`` hold: the last good spans, or why there are none."""
        for file in calendar.files:
            known, mark = self._files.get(file), _mark_of(_place_of(file))
            if known is None or known.mark != mark or now - known.at > UNFOLDED_FOR:
                await asyncio.to_thread(self._read, file, mark, now)
        read = {file: self._files[file] for file in calendar.files}
        return {
            file: known.spans if known.spans is not None else known.problem or "it is empty"
            for file, known in read.items()
        }

    def _read(self, file: CalendarFile, mark: tuple[int, int] | None, now: datetime) -> None:
        before = self._files.get(file)
        try:
            self._files[file] = _Known(mark, now, spans_in(file, now))
        except UsageError as error:
            self._files[file] = _Known(mark, now, before.spans if before else None, str(error))


def _mark_of(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file does; None where it cannot be asked."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
