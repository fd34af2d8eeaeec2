"""How a policy, or the calendar of all agents, writes freezes and allowed hours."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from foundry_rollouts.core.model.calendar import Calendar, CalendarFile, Entry, Hours, Span
from foundry_rollouts.policies.documents import shown
from foundry_rollouts.policies.source_entries import STRICT
from foundry_rollouts.policies.units import wrong

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
HOURS_PATTERN = rf"^{_CLOCK}-({_CLOCK}|24:00)$"
DAYS_PATTERN = r"^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$"


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise wrong(f"{shown(name)} is no time zone: write for example Europe/Berlin") from None
    return name


def _hours(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(HOURS_PATTERN, value):
        raise wrong(f"{shown(value)} are no hours: write for example 09:00-16:30")
    return value


def _days(value: object) -> tuple[int, ...]:
    if isinstance(value, tuple):
        return value
    found: set[int] = set()
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, str) or not re.fullmatch(DAYS_PATTERN, each):
            raise wrong(f"{shown(each)} is no day: write for example mon-fri, or [sat, sun]")
        first, _, last = each.partition("-")
        begin, count = DAYS.index(first), (DAYS.index(last or first) - DAYS.index(first)) % 7 + 1
        found |= {(begin + number) % 7 for number in range(count)}
    return tuple(sorted(found))


def _instant(value: object) -> datetime | date:
    if isinstance(value, datetime | date):
        return value
    try:
        text = str(value)
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else datetime.fromisoformat(text)
    except ValueError:
        raise wrong(f"{shown(value)} is no instant: write for example 2026-12-20 or 2026-12-20T18:00") from None


_INSTANT = WithJsonSchema({"type": "string", "examples": ["2026-12-20", "2026-12-20T18:00"]})
Instant = Annotated[datetime | date, BeforeValidator(_instant), _INSTANT]
_TEXTS: dict[str, Any] = {"type": "string", "pattern": DAYS_PATTERN}
DaysText = Annotated[
    tuple[int, ...],
    BeforeValidator(_days),
    WithJsonSchema({"anyOf": [_TEXTS, {"type": "array", "items": _TEXTS, "minItems": 1}]}),
]
HoursText = Annotated[
    str,
    BeforeValidator(_hours),
    WithJsonSchema({"type": "string", "pattern": HOURS_PATTERN, "examples": ["09:00-16:30"]}),
]


class WindowEntry(BaseModel):
    """Hours of every week, or the events of an iCalendar file."""

    model_config = STRICT

    days: DaysText | None = Field(default=None, description="Days of the week. Default: all.", examples=["mon-fri"])
    hours: HoursText | None = Field(
        default=None,
        description="Local hours; where they end no later than they begin, on the day after. Default: all.",
    )
    calendar: str | None = Field(
        default=None, min_length=1, description="An iCalendar file, relative to this file.", examples=["freezes.ics"]
    )
    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="The time zone of what has none of its own.", examples=["Europe/Berlin"]
    )
    reason: str = Field(default="", max_length=200, description="What people read.")

    @model_validator(mode="after")
    def _one_kind(self) -> "WindowEntry":
        kinds = [kind for kind in self._kinds() if kind]
        if len(kinds) != 1:
            raise wrong(f"this is {'nothing' if not kinds else 'two things'}: {self._how()}")
        return self

    def _kinds(self) -> list[bool]:
        return [self.days is not None or self.hours is not None, self.calendar is not None]

    def _how(self) -> str:
        return "write days and hours, or calendar"

    def as_entry(self, folder: Path) -> Entry:
        """Return it in the core's words; ``folder`` is where paths begin."""
        if self.calendar is not None:
            return CalendarFile(self.calendar, self.zone, self.reason, str(folder))
        start, _, end = (self.hours or "00:00-24:00").partition("-")
        last = time() if end == "24:00" else time.fromisoformat(end)
        return Hours(
            self.days if self.days is not None else tuple(range(7)),
            time.fromisoformat(start),
            last,
            self.zone,
            self.reason,
        )


class FreezeEntry(WindowEntry):
    """Hours of every week, a span between two instants, or the events of an iCalendar file."""

    model_config = ConfigDict(**STRICT)

    since: Instant | None = Field(default=None, description="From then on; of a date, from its first instant.")
    until: Instant | None = Field(default=None, description="Until then; of a date, to its last instant.")

    def _kinds(self) -> list[bool]:
        return [*super()._kinds(), self.since is not None or self.until is not None]

    def _how(self) -> str:
        return "write since and until, or days and hours, or calendar"

    @model_validator(mode="after")
    def _whole_span(self) -> "FreezeEntry":
        if (self.since is None) is not (self.until is None):
            raise wrong("a freeze between two instants has both: write since and until")
        if self.since is not None and self.until is not None and self._span().until <= self._span().since:
            raise wrong("it ends no later than it begins: write a later until")
        return self

    def _span(self) -> Span:
        since, until = self.since or date.min, self.until or date.max
        last = until if isinstance(until, datetime) else until + timedelta(days=1)
        return Span(_local(since, self.zone), _local(last, self.zone), self.reason)

    def as_entry(self, folder: Path) -> Entry:
        return super().as_entry(folder) if self.since is None else self._span()


def _local(at: datetime | date, zone: str) -> datetime:
    if not isinstance(at, datetime):
        at = datetime.combine(at, time())
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


class CalendarEntry(BaseModel):
    """The calendar of all agents: a YAML file of its own."""

    model_config = STRICT

    windows: list[WindowEntry] = Field(default_factory=list, description="When rollouts may begin and rise.")
    freeze: list[FreezeEntry] = Field(default_factory=list, description="When they may not.")


def calendar_of(windows: list[WindowEntry], freeze: list[FreezeEntry], folder: Path) -> Calendar:
    """Return both in the core's words."""
    return Calendar(tuple(each.as_entry(folder) for each in windows), tuple(each.as_entry(folder) for each in freeze))
