"""Counts from a CSV file: one row an interval."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.replay.counts import Interval
from foundry_rollouts.errors import UsageError

HEADER = ("seconds", "canary_weight", "canary_calls", "canary_failures", "stable_calls", "stable_failures")
LONGEST = 1e10  #: Seconds; more than three hundred years.
MOST = 10**12  #: Calls.


def intervals_in(path: Path) -> tuple[Interval, ...]:
    """Return the intervals of ``path``. Raises UsageError, ``file:line: what: how to fix``, for the first mistake."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}:1: cannot be read, {error.strerror}: fix the path or its permissions") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}:1: is not text in UTF-8: write it as CSV") from None
    intervals: list[Interval] = []
    try:
        for line, cells in _rows(path, text):
            try:
                intervals.append(_interval(cells, intervals[-1].seconds if intervals else None))
            except ValueError as error:
                raise UsageError(f"{path}:{line}: {error}") from None
    except csv.Error as error:
        raise UsageError(f"{path}:1: is not CSV ({error}): write {','.join(HEADER)} and one row an interval") from None
    if not intervals:
        raise UsageError(f"{path}:2: there are no counts: write one row an interval under the header")
    return tuple(intervals)


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text.splitlines(), strict=True)
    header = next(reader, [])
    if tuple(header) != HEADER:
        raise UsageError(f"{path}:1: the header is {','.join(header) or 'missing'}: write {','.join(HEADER)}")
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _interval(cells: list[str], before: float | None) -> Interval:
    """Read one row. Raises ValueError with what is wrong and how to fix it."""
    if len(cells) != len(HEADER):
        raise ValueError(f"{len(cells)} values stand in a row of {len(HEADER)}: write {','.join(HEADER)}")
    row = dict(zip(HEADER, cells, strict=True))
    seconds = _seconds(row["seconds"])
    if before is not None and seconds <= before:
        raise ValueError(f"seconds: {seconds:g} comes after {before:g}: write the rows in the order of time")
    counts = {name: _whole(name, row[name], MOST) for name in HEADER[2:]}
    for version in ("canary", "stable"):
        calls, failures = counts[f"{version}_calls"], counts[f"{version}_failures"]
        if failures > calls:
            raise ValueError(f"{version}_failures: {failures} of {calls} calls: write at most as many as there are")
    return Interval(seconds, _whole("canary_weight", row["canary_weight"], 100), Tally(**counts))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"seconds: {text!r} is no time since the start: write for example 60 or 60.5")
    return seconds


def _whole(name: str, text: str, most: int) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and int(digits[:20]) <= most):
        raise ValueError(f"{name}: {text!r} is not a whole number from 0 to {most}: write one")
    return int(digits)
