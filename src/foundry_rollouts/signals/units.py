"""Sessions as units: calls of one session fail together, so that they are one call of evidence, and fail once.

A session meets one sandbox, one conversation, one user: counted apiece, its calls would be taken for as many
independent ones. In the window of its first calls at a step it is one unit, which failed if any of them did and is as
slow as its slowest; that it goes on well is no news. At a step it counts one failure, whenever that comes, after which
it counts no more; a client error, an error in the log and a failure that the policy ignores count once, too, and the
session goes on. A call without a session stands alone.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from foundry_rollouts.core.model.failures import ErrorKind, kind_of
from foundry_rollouts.core.model.measurement import Counts, Sample, Window

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Sessions of a step that are remembered; of more, the oldest are taken for new ones.
MOST_SESSIONS = 100_000
#: Units of a step whose slowest call is remembered: late calls are of the newest.
MOST_UNITS = 20_000
#: What outweighs what, where calls of one session fail in several ways.
_WORSE = (ErrorKind.CLIENT_ERROR, ErrorKind.RATE_LIMITED, None)
_COUNTED, _FAILED, _LOG_ERROR = "counted", "failed", "log error"


@dataclass(frozen=True, slots=True)
class Seen:
    """One call: when it was seen and when it began, in which stratum, of which version and session."""

    at: datetime
    stratum: str
    version: str
    sample: Sample
    began_at: datetime
    session: str | None = None  #: None: it stands alone.


@dataclass(frozen=True, slots=True)
class Unit:
    """What counts as one: a session in a window, or a call without a session."""

    window: Window
    stratum: str
    version: str
    counts: Counts


@dataclass(slots=True)
class StepMemory(Generic[K, V]):
    """What is known at a step; what the last window brought may be undone, until its tick is recorded."""

    limit: int = MOST_SESSIONS
    _known: dict[K, V] = field(default_factory=dict)
    _before: dict[K, tuple[V, ...]] = field(default_factory=dict)  #: Empty: it was not known.

    def __contains__(self, key: K) -> bool:
        return key in self._known

    def get(self, key: K) -> V | None:
        return self._known.get(key)

    def note(self, key: K, value: V) -> None:
        self._before.setdefault(key, (self._known[key],) if key in self._known else ())
        self._known[key] = value

    def begin(self, *, is_new_step: bool, is_recorded: bool) -> None:
        """Begin a window: keep what the last one brought, or undo it, or forget all that is of another step."""
        if is_new_step:
            self._known.clear()
        elif not is_recorded:
            for key, before in self._before.items():
                self._known.pop(key, None)
                for value in before:
                    self._known[key] = value
        self._before.clear()
        while len(self._known) > self.limit:
            del self._known[next(iter(self._known))]


@dataclass(slots=True)
class SessionUnits:
    """The units of one rollout at its present step. After a restart no session has failed yet."""

    _slowest: StepMemory[tuple[str, str, datetime], timedelta] = field(default_factory=lambda: StepMemory(MOST_UNITS))
    _noted: StepMemory[tuple[str, str], bool] = field(default_factory=StepMemory)  #: Of a session, what counted.

    def begin(self, *, is_new_step: bool, is_recorded: bool) -> None:
        self._slowest.begin(is_new_step=is_new_step, is_recorded=is_recorded)
        self._noted.begin(is_new_step=is_new_step, is_recorded=is_recorded)

    def of(self, calls: Iterable[tuple[Window, Seen]], ignored: Collection[ErrorKind]) -> Iterator[Unit]:
        """Yield what ``calls`` amount to, each with the window in which it began."""
        sessions: dict[tuple[datetime, str, str, str], list[tuple[Window, Seen]]] = {}
        for window, seen in calls:
            if seen.session is None:
                yield Unit(window, seen.stratum, seen.version, seen.sample.as_counts())
            else:
                key = window.start, seen.stratum, seen.session, seen.version
                sessions.setdefault(key, []).append((window, seen))
        for _, of_one in sorted(sessions.items()):
            (window, first), samples = of_one[0], [seen.sample for _, seen in of_one]
            counts = self._counts(first, window, samples, ignored)
            if counts is not None:
                yield Unit(window, first.stratum, first.version, counts)

    def _counts(
        self, first: Seen, window: Window, samples: Sequence[Sample], ignored: Collection[ErrorKind]
    ) -> Counts | None:
        """Return what a session counts in a window; None: nothing that was not counted before."""
        session = str(first.session)
        if (session, _FAILED) in self._noted:
            return None
        unit = self._new_in(session, together(samples), ignored)
        key, latency = (session, first.version, window.start), unit.latency or timedelta(0)
        known = self._slowest.get(key)
        if known is None or latency > known:
            self._slowest.note(key, latency)
        if not self._was_noted(session, _COUNTED) or unit.cause is not None or unit.has_log_error:
            return unit.as_counts()
        # It counted before, in this window as a call that was faster.
        return replace(unit.as_counts(), calls=0) if known is not None and latency > known else None

    def _new_in(self, session: str, unit: Sample, ignored: Collection[ErrorKind]) -> Sample:
        """Return ``unit`` without what the session counted for before, and note what is left."""
        if unit.cause is not None and self._was_noted(session, _word(unit.cause, ignored)):
            unit = replace(unit, cause=None)
        if unit.has_log_error and self._was_noted(session, _LOG_ERROR):
            unit = replace(unit, has_log_error=False)
        return unit

    def _was_noted(self, session: str, word: str) -> bool:
        """Whether the session counted for that before; from now on it did."""
        if (session, word) in self._noted:
            return True
        self._noted.note((session, word), True)
        return False


def together(samples: Sequence[Sample]) -> Sample:
    """Return what calls of one session amount to: failed if any did, as slow as the slowest."""
    worst = max((each.cause for each in samples if each.cause is not None), key=_badness, default=None)
    latencies = [each.latency for each in samples if each.latency is not None]
    return Sample(worst, max(latencies, default=None), any(each.has_log_error for each in samples))


def _badness(cause: str) -> int:
    return _WORSE.index(kind_of(cause))


def _word(cause: str, ignored: Collection[ErrorKind]) -> str:
    kind = kind_of(cause)
    return kind if kind is not None and (kind is ErrorKind.CLIENT_ERROR or kind in ignored) else _FAILED
