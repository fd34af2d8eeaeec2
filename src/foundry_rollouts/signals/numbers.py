"""Numbers as strangers tell them: what cannot be a count is refused with a word about what it looks like."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from foundry_rollouts.core.measurement import Counts

#: A server's clock may run ahead of ours by so much.
AHEAD = timedelta(minutes=1)
#: Counts that a server extrapolates may exceed each other by so much.
ROUNDING = 1.5


class TroubleError(Exception):
    """A source cannot count at present; the text is the sentence that people read."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a server told of one version and window; ``is_estimate`` when its counts need not be whole."""

    calls: object
    failures: object
    at: datetime | None = None  #: Of when the counts are, where the server says it.
    is_estimate: bool = False
    values: tuple[tuple[str, object], ...] = ()  #: Further numbers, by name; None is not there.

    def as_counts(self, now: datetime, cause: str) -> Counts:
        """Return the counts. Raises TroubleError for what can be none."""
        if self.at is not None and self.at > now + AHEAD:
            raise TroubleError(f"tells of the future ({self.at.isoformat()}): is its clock right, and the time zone?")
        calls, failures = self._count("calls", self.calls), self._count("failures", self.failures)
        if failures > calls + (ROUNDING if self.is_estimate else 0):
            raise TroubleError(
                f"tells of {failures:g} failures in {calls:g} calls: is one of them a rate or a percentage?"
            )
        whole = round(calls)
        failed = min(round(failures), whole)
        return Counts(
            calls=whole,
            failures=failed,
            causes=((cause, failed),) if failed else (),
            values=tuple((name, as_number(name, value)) for name, value in self.values if value is not None),
        )

    def _count(self, word: str, value: object) -> float:
        number = as_number(word, value)
        if number < 0:
            raise TroubleError(f"tells of {number:g} {word}: a count is never negative")
        if not self.is_estimate and number != int(number):
            raise TroubleError(f"tells of {number:g} {word}: a count is a whole number, is this a rate?")
        return number


def as_number(word: str, value: object) -> float:
    """Return ``value`` as a finite number. Raises TroubleError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TroubleError(f"tells no number of {word}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise TroubleError(f"tells {number} as the number of {word}")
    return number
