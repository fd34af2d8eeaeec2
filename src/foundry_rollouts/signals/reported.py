"""Numbers as foreign servers report them: what cannot be a count is refused with a word about what it seems to be.

Counts and further numbers are judged apart: one that cannot be used takes nothing away from the others.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from foundry_rollouts.core.model.measurement import Counts, Window
from foundry_rollouts.untrusted import clean

#: A server's clock may run ahead of ours by so much.
AHEAD = timedelta(minutes=1)
#: A sample is of the end of its window; one that is older by so much was counted earlier, and kept.
OLD = timedelta(minutes=1)
#: Counts that a server extrapolates may exceed each other by so much.
ROUNDING = 1.5
#: What one version can answer in a second at most, and more.
MOST_PER_SECOND = 100_000
#: So far below a whole number an estimate is that number: 0.1 ten times is one.
DUST = 1e-6


class SourceError(Exception):
    """A source cannot count at present; the text is the sentence that people read, whoever's words are in it."""

    def __init__(self, text: str) -> None:
        super().__init__(clean(text))


class NotWholeError(SourceError):
    """The server answered, and what it says is no evidence; the next answer may be."""


class Found(Enum):
    """What a query found that is no number."""

    NOTHING = "nothing"  #: No series: zero, or a query that can never match.


@dataclass(frozen=True, slots=True)
class Fraction:
    """What is left of estimates when whole calls are taken: the next window begins with it, and the sum stays right."""

    calls: float = 0.0
    failures: float = 0.0

    def taken(self, calls: float, failures: float) -> tuple[int, int, "Fraction"]:
        """Return whole calls and failures, never more than were counted so far, and what is left of them."""
        all_calls, all_failures = self.calls + calls, self.failures + min(failures, calls)
        whole = math.floor(all_calls + DUST)
        failed = min(math.floor(all_failures + DUST), whole)
        return whole, failed, Fraction(all_calls - whole, all_failures - failed)


@dataclass(frozen=True, slots=True)
class ReportedCounts:
    """What a server reported of one version and window; ``is_estimate`` when its counts need not be whole.

    A number that could not be had is the error that says why.
    """

    calls: object
    failures: object
    is_estimate: bool = False
    values: tuple[tuple[str, object], ...] = ()  #: Further numbers, by name; None is not there.
    remedy: str = ""  #: What to do about failures that are not found.

    def beside(self, other: "ReportedCounts") -> "ReportedCounts":
        """Return what is reported of stable, beside what is reported of the canary.

        A query that finds failures of the canary is written right: where it finds none of stable, there are none.
        """
        is_zero = self.failures is Found.NOTHING and not isinstance(other.failures, Found | SourceError)
        return replace(self, failures=0) if is_zero else self

    def counted(self, window: Window) -> tuple[float, float]:
        """Return calls and failures. Raises SourceError for what can be none."""
        for number in (self.calls, self.failures):
            if isinstance(number, SourceError):
                raise number
        calls = 0.0 if self.calls is Found.NOTHING else self._count("calls", self.calls)
        if calls > MOST_PER_SECOND * window.seconds:
            raise NotWholeError(
                f"tells of {calls:g} calls in {window.seconds:g} s: is it a time, or was a counter set back?"
            )
        if self.failures is Found.NOTHING and calls:
            raise NotWholeError(f"the query of failures finds nothing beside {calls:g} calls, not zero{self.remedy}")
        failures = 0.0 if self.failures is Found.NOTHING else self._count("failures", self.failures)
        if failures and self.calls is Found.NOTHING:
            raise NotWholeError(f"the query of calls finds nothing beside {failures:g} failures{self.remedy}")
        if failures > calls + (ROUNDING if self.is_estimate else 0):
            raise NotWholeError(
                f"tells of {failures:g} failures in {calls:g} calls: is one of them a rate or a percentage?"
            )
        return calls, failures

    def numbers(self) -> Counts:
        """Return the further numbers alone, and why some of them cannot be read."""
        read: list[tuple[str, float]] = []
        unread: list[tuple[str, str]] = []
        for name, value in self.values:
            try:
                if value is not None and not self._is_nothing_by_nothing(value):
                    read.append((name, as_number(name, value)))
            except SourceError as error:
                unread.append((name, str(error)))
        return Counts(values=tuple(read), unread=tuple(unread))

    def _is_nothing_by_nothing(self, value: object) -> bool:
        """Whether a mean has no value because there were no calls to take it of."""
        return self.is_estimate and isinstance(value, float) and math.isnan(value) and self.calls in {0, Found.NOTHING}

    def _count(self, word: str, value: object) -> float:
        number = as_number(word, value)
        if number < 0:
            raise NotWholeError(f"tells of {number:g} {word}: a count is never negative")
        if not self.is_estimate and number != int(number):
            raise NotWholeError(f"tells of {number:g} {word}: a count is a whole number, is this a rate?")
        return number


def as_number(word: str, value: object) -> float:
    """Return ``value`` as a finite number. Raises SourceError."""
    if isinstance(value, SourceError):
        raise value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotWholeError(f"tells no number of {word}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise NotWholeError(f"tells {number} as the number of {word}")
    return number


def timely(at: datetime, window: Window) -> None:
    """Raise NotWholeError unless a sample of ``at`` can tell of the end of ``window``."""
    if at > window.end + AHEAD:
        raise NotWholeError(f"tells of the future ({at.isoformat()}): is its clock right, and the time zone?")
    if at < max(window.start, window.end - OLD):
        age = round((window.end - at).total_seconds())
        raise NotWholeError(
            f"tells of the past ({at.isoformat()}, {age} s before the end of the window): is a cache in front of it?"
        )
