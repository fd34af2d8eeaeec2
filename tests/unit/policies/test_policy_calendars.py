"""Calendars in files: as a policy writes them, and as calendar programs do; broken ones, and the last good one."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundry_rollouts.core.model.calendar import Calendar, CalendarFile, closed_at
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.errors import PolicyError, UsageError
from foundry_rollouts.policies.calendars import CalendarFiles, calendar_problems, spans_in
from foundry_rollouts.policies.export import as_written
from foundry_rollouts.policies.load import policies_in

POLICY = """
name: support
agents: ["support-*"]
steps: [{weight: 100}]
"""
CALENDAR = """\
windows:
  - {days: mon-fri, hours: "09:00-16:30", zone: Europe/Berlin}
freeze:
  - {since: 2026-12-20, until: 2027-01-03, zone: Europe/Berlin, reason: year end}
  - {days: [fri], hours: "14:00-24:00", zone: Europe/Berlin}
  - {calendar: freezes.ics, zone: Europe/Berlin}
"""
#: As Thunderbird and Outlook write them: a zone of their own, repeated events, exceptions, a moved one, whole days.
ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN
BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
UID:release@example
DTSTAMP:20260101T000000Z
SUMMARY:Release\\, every second Tuesday
DTSTART;TZID=W. Europe Standard Time:20260303T180000
DTEND;TZID=W. Europe Standard Time:20260303T220000
RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;COUNT=6
EXDATE;TZID=W. Europe Standard Time:20260317T180000
END:VEVENT
BEGIN:VEVENT
UID:release@example
DTSTAMP:20260101T000000Z
RECURRENCE-ID;TZID=W. Europe Standard Time:20260331T180000
SUMMARY:Release\\, one day later
DTSTART;TZID=W. Europe Standard Time:20260401T180000
DTEND;TZID=W. Europe Standard Time:20260401T220000
END:VEVENT
BEGIN:VEVENT
UID:easter@example
DTSTAMP:20260101T000000Z
SUMMARY:Easter
DTSTART;VALUE=DATE:20260403
DTEND;VALUE=DATE:20260407
END:VEVENT
BEGIN:VEVENT
UID:off@example
DTSTAMP:20260101T000000Z
STATUS:CANCELLED
SUMMARY:Called off
DTSTART:20260310T000000Z
DTEND:20260311T000000Z
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "reason"),
    [
        ("2026-03-03T17:00", "Release, every second Tuesday"),
        ("2026-03-03T21:00", None),
        ("2026-03-17T18:00", None),  # an exception
        ("2026-03-31T17:00", None),  # moved, and the clocks are those of summer
        ("2026-04-01T16:00", "Release, one day later"),
        ("2026-04-14T16:00", "Release, every second Tuesday"),
        ("2026-05-26T16:00", None),  # the last of six has been
        ("2026-04-02T21:59", None),
        ("2026-04-02T22:00", "Easter"),  # whole days are those of Berlin
        ("2026-04-06T21:59", "Easter"),
        ("2026-04-06T22:00", None),
        ("2026-03-10T12:00", None),  # cancelled
    ],
)
def test_the_events_of_a_calendar_program_are_the_spans(tmp_path: Path, instant: str, reason: str | None) -> None:
    path = tmp_path / "freezes.ics"
    path.write_bytes(ICS.encode())
    spans = spans_in(CalendarFile(str(path), "Europe/Berlin"), NOW)
    assert next((span.reason for span in spans if span.holds(at(instant))), None) == reason


@pytest.mark.parametrize("content", ["", "BEGIN:VCALENDAR", "no calendar\r\n"])
def test_a_broken_file_gives_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "freezes.ics"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError) as raised:
        spans_in(CalendarFile(str(path)), NOW)
    assert "\n" not in str(raised.value)


async def test_the_last_good_file_holds_until_there_is_a_better_one_and_nothing_good_holds_too(tmp_path: Path) -> None:
    path, files = tmp_path / "freezes.ics", CalendarFiles()
    calendar = Calendar(freezes=(CalendarFile(str(path), "Europe/Berlin"),))
    missing = closed_at(calendar, NOW, await files.read(calendar, NOW))
    assert missing is not None
    assert missing.because.endswith("cannot be read (No such file or directory), and it may be a freeze")
    path.write_bytes(ICS.encode())
    assert closed_at(calendar, NOW, await files.read(calendar, NOW)) is None
    assert files.problems == ()
    path.write_text("broken", "utf-8")
    assert closed_at(calendar, at("2026-04-03T12:00"), await files.read(calendar, NOW)) is not None
    assert len(files.problems) == 1
    assert files.problems[0].startswith(f"{path}: it is no iCalendar file")


async def test_the_calendar_of_all_agents_is_read_again_and_a_broken_one_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "calendar.yaml"
    files = CalendarFiles(path)
    assert isinstance(await files.of_all(), str)
    path.write_text(CALENDAR, "utf-8")
    calendar = await files.of_all()
    assert isinstance(calendar, Calendar)
    assert [len(calendar.windows), len(calendar.freezes)] == [1, 3]
    assert calendar.files == (CalendarFile("freezes.ics", "Europe/Berlin", folder=str(tmp_path)),)
    path.write_text("freeze: [{days: someday}]", "utf-8")
    os.utime(path, ns=(1, 1))
    assert await files.of_all() == calendar
    assert "'someday' is no day: write for example mon-fri, or [sat, sun]" in files.problems[0]


def test_a_policy_says_what_its_file_says(tmp_path: Path) -> None:
    path = tmp_path / "support.yaml"
    path.write_text(POLICY + CALENDAR, "utf-8")
    (policy,) = policies_in(path)
    written = as_written(policy)
    days = ["mon", "tue", "wed", "thu", "fri"]
    assert written["windows"] == [{"days": days, "hours": "09:00-16:30", "zone": "Europe/Berlin"}]
    year_end = {"since": "2026-12-19T23:00:00+00:00", "until": "2027-01-03T23:00:00+00:00", "reason": "year end"}
    assert written["freeze"][0] == year_end
    assert written["freeze"][1]["hours"] == "14:00-24:00"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("{}", "this is nothing: write since and until, or days and hours, or calendar"),
        ("{days: mon, calendar: a.ics}", "this is two things: write since and until, or days and hours, or calendar"),
        ("{since: 2026-12-20}", "a freeze between two instants has both: write since and until"),
        ("{since: 2026-12-20, until: 2026-12-01}", "it ends no later than it begins: write a later until"),
        ("{since: soon, until: 2026-12-01}", "'soon' is no instant: write for example 2026-12-20"),
        ("{days: mon, zone: Europe/Atlantis}", "'Europe/Atlantis' is no time zone: write for example Europe/Berlin"),
        ('{hours: "9-17"}', "'9-17' are no hours: write for example 09:00-16:30"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(tmp_path: Path, entry: str, sentence: str) -> None:
    path = tmp_path / "support.yaml"
    path.write_text(f"{POLICY}freeze:\n  - {entry}\n", "utf-8")
    with pytest.raises(PolicyError) as raised:
        policies_in(path)
    assert sentence in str(raised.value)
    assert f"{path}:6:" in str(raised.value)


def test_lint_names_the_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "support.yaml"
    path.write_text(POLICY + CALENDAR, "utf-8")
    missing = (
        f"{tmp_path / 'freezes.ics'}:1:1: No such file or directory: fix the file, or the path that the policy names"
    )
    assert calendar_problems(policies_in(path), NOW) == [missing]
    (tmp_path / "freezes.ics").write_bytes(ICS.encode())
    assert calendar_problems(policies_in(path), NOW) == []


def test_where_the_files_lie_changes_nothing_of_what_a_policy_says(tmp_path: Path) -> None:
    hashes = set()
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        (folder / "support.yaml").write_text(POLICY + CALENDAR, "utf-8")
        hashes.add(policy_hash(policies_in(folder)[0]))
    assert len(hashes) == 1
