"""Gates on a value, explained so that a person can follow them: the bounds, and the windows in a row that count."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from foundry_rollouts.core.judging.values import ValueTrack, compared
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.replay.recorded import ReplayedTick


@dataclass(frozen=True, slots=True)
class BoundsView:
    """Where a number must lie; ``at_least`` and ``at_most`` are multiples of stable's."""

    name: str
    min: float | None
    max: float | None
    at_least: float | None
    at_most: float | None
    windows: int  #: So many in a row decide.


@dataclass(frozen=True, slots=True)
class NumberView:
    """What one window reported of both versions, and how the canary's number lay out of bounds."""

    start: datetime
    end: datetime
    canary: float
    stable: float | None
    flaw: str | None


@dataclass(frozen=True, slots=True)
class ValueView:
    """What one source says about one number at the present step."""

    source: str
    inside: int  #: Windows in a row up to the last one, and so is ``outside``; one of them is 0.
    outside: int
    numbers: tuple[NumberView, ...]  #: Of the last windows of the step, as many as decide.
    trouble: str | None


@dataclass(slots=True)
class Numbers:
    """The last windows of the present step, as many as decide, by source and name of the number."""

    bounds: tuple[Bounds, ...]
    _weight: int | None = None
    _seen: dict[tuple[str, str], deque[NumberView]] = field(default_factory=dict)
    _stable: dict[tuple[str, str], float | None] = field(default_factory=dict)

    def add(self, tick: ReplayedTick) -> None:
        """Take in what one tick measured; at another weight counting begins anew."""
        if tick.weight != self._weight:
            self._weight = tick.weight
            self._seen.clear()
        for bounds in self.bounds:
            for each in tick.measurements:
                self._add(bounds, each)

    def _add(self, bounds: Bounds, seen: Measurement) -> None:
        key = seen.source, bounds.name
        if numbers := compared(bounds, seen, self._stable.get(key)):
            self._stable[key] = numbers[1]
            last = self._seen.setdefault(key, deque(maxlen=bounds.windows))
            last.append(NumberView(seen.window.start, seen.window.end, *numbers, bounds.violation(*numbers)))

    def of(self, name: str, source: str) -> tuple[NumberView, ...]:
        """Return the last windows in which ``source`` reported the number ``name``."""
        return tuple(self._seen.get((source, name), ()))


def bounds_view(bounds: Bounds) -> BoundsView:
    """Show ``bounds`` as the policy has them."""
    return BoundsView(bounds.name, bounds.min, bounds.max, bounds.at_least, bounds.at_most, bounds.windows)


def value_views(bounds: Bounds, tracks: Sequence[ValueTrack], numbers: Numbers) -> tuple[ValueView, ...]:
    """Show what each source says about the number of ``bounds``."""
    return tuple(
        ValueView(track.source, track.inside, track.outside, numbers.of(bounds.name, track.source), track.trouble)
        for track in tracks
    )
