"""Samples that gather in the background and are handed out window by window."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.signals.units import Seen, SessionUnits, Unit
from foundry_rollouts.signals.windows import StepWindows

#: A rollout that nobody asks about for long keeps its newest samples only.
MOST_SAMPLES = 50_000
MOST_NOTES = 3


@dataclass(frozen=True, slots=True)
class Begun:
    """A session of users that began: when it was seen and when it began, in which stratum, on which version."""

    at: datetime
    stratum: str
    version: str
    began_at: datetime


@dataclass(slots=True)
class StepCounter:
    """Counts what was seen of one rollout at its present step: each call in the window in which it began."""

    strata: tuple[str, ...]
    windows: StepWindows = field(default_factory=StepWindows)
    units: SessionUnits = field(default_factory=SessionUnits)

    def begin(self, rollout: Rollout, window: Window) -> tuple[bool, bool]:
        """Begin to count for ``window``; return whether a step begins, and whether the last window is recorded."""
        is_new_step, is_recorded = self.windows.enter(rollout, window)
        self.units.begin(is_new_step=is_new_step, is_recorded=is_recorded)
        return is_new_step, is_recorded

    def measured(
        self, rollout: Rollout, window: Window, seen: Iterable[Seen], begun: Iterable[Begun] = ()
    ) -> tuple[Measurement, ...]:
        """Return the counts of ``window``, and behind them those of calls that began in earlier windows of the step.

        What began before the step is left out.
        """
        placed = [(in_window, each) for each in seen if (in_window := self.windows.of(each.began_at))]
        units = list(self.units.of(placed, rollout.policy.ignored_errors))
        heard = Counter((each.stratum, each.version) for _, each in placed)
        units += [Unit(window, *of, Counts(heard=number)) for of, number in heard.items()]
        units += [
            Unit(window, each.stratum, each.version, Counts(new_sessions=1))
            for each in begun
            if self.windows.routed_since is not None and each.began_at >= self.windows.routed_since
        ]
        return tuple(self._measurements(rollout, window, units))

    def _measurements(self, rollout: Rollout, window: Window, units: Sequence[Unit]) -> Iterator[Measurement]:
        counts: dict[Window, dict[tuple[str, str | None], Counts]] = {window: {}}
        for unit in units:
            if unit.version in {rollout.stable, rollout.canary}:
                of_window, key = counts.setdefault(unit.window, {}), (unit.stratum, unit.version)
                of_window[key] = of_window.get(key, Counts()) + unit.counts
        earlier = sorted(counts.keys() - {window}, key=lambda each: each.start)
        for each in (window, *earlier):
            for stratum in self.strata:
                stable, canary = (counts[each].get((stratum, of)) for of in (rollout.stable, rollout.canary))
                if each == window or stable or canary:
                    yield Measurement(stratum, each, stable or Counts(), canary or Counts())


@dataclass(slots=True)
class SampleBuffer:
    """What one source saw of one rollout, by stratum and version.

    A sample is handed out with the window in which it was seen, so that a window whose tick was never recorded is
    handed out again with the next one, and nothing is counted twice; it counts in the window in which it began.
    """

    counter: StepCounter
    trouble: str | None = None  #: Why counting does not work at present.
    sight: str | None = None  #: How little of what there is can be seen at present.
    _seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    _begun: deque[Begun] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    _notes: deque[tuple[datetime, str]] = field(default_factory=lambda: deque(maxlen=MOST_NOTES))

    @classmethod
    def of(cls, *strata: str) -> "SampleBuffer":
        return cls(StepCounter(strata))

    def add(self, seen: Seen) -> None:
        self._seen.append(seen)

    def begun(self, begun: Begun) -> None:
        self._begun.append(begun)

    def note(self, at: datetime, text: str) -> None:
        """Have the history tell something beside the counts."""
        self._notes.append((at, text))

    def collect(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the counts of what was seen in ``window``; the present trouble stands with the first of them."""
        self.counter.begin(rollout, window)
        self._seen = deque((each for each in self._seen if each.at >= window.start), maxlen=MOST_SAMPLES)
        self._begun = deque((each for each in self._begun if each.at >= window.start), maxlen=MOST_SAMPLES)
        seen = [each for each in self._seen if each.at < window.end]
        begun = [each for each in self._begun if each.at < window.end]
        measured = self.counter.measured(rollout, window, seen, begun)
        self._notes = deque((each for each in self._notes if each[0] >= window.start), maxlen=MOST_NOTES)
        note = ". ".join(text for at, text in self._notes if at < window.end) or None
        return tuple(
            replace(each, trouble=self.trouble, note=note, sight=self.sight) if each.window == window else each
            for each in measured
        )
