"""Samples that gather in the background and are handed out window by window."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from foundry_rollouts.core.model.measurement import Counts, Measurement, Sample, Window
from foundry_rollouts.core.model.rollout import Rollout

#: A rollout that nobody asks about for long keeps its newest samples only.
MOST_SAMPLES = 50_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One sample: when it was complete, in which stratum, of which version."""

    at: datetime
    stratum: str
    version: str
    sample: Sample


@dataclass(slots=True)
class SampleBuffer:
    """What one source saw of one rollout, by stratum and version.

    A sample belongs to the window it falls into, so that a window whose tick was never recorded is handed out
    again with the next one, and nothing is counted twice.
    """

    strata: tuple[str, ...]
    trouble: str | None = None  #: Why counting does not work at present.
    _seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))

    def add(self, seen: Seen) -> None:
        self._seen.append(seen)

    def collect(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the counts of ``window``; what was seen at an earlier weight is left out."""
        begin = max(window.start, rollout.step_started_at or window.start)
        counts: dict[tuple[str, str], Counts] = {}
        kept = [seen for seen in self._seen if seen.at >= window.start]
        for seen in kept:
            if begin <= seen.at < window.end:
                key = seen.stratum, seen.version
                counts[key] = counts.get(key, Counts()) + seen.sample.as_counts()
        self._seen = deque(kept, maxlen=MOST_SAMPLES)
        return tuple(
            Measurement(
                source=stratum,
                window=window,
                stable=counts.get((stratum, rollout.stable or ""), Counts()),
                canary=counts.get((stratum, rollout.canary), Counts()),
                trouble=self.trouble,
            )
            for stratum in self.strata
        )
