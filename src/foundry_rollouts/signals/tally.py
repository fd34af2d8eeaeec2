"""Counts that grow in the background and are handed out once."""

from collections import defaultdict
from dataclasses import dataclass, field

from foundry_rollouts.core.measurement import Counts, Measurement, Sample, Window
from foundry_rollouts.core.rollout import Rollout


@dataclass(slots=True)
class Tallies:
    """What one source counted for one rollout since it was last asked, by stratum and version."""

    strata: tuple[str, ...]
    trouble: str | None = None  #: Why counting does not work at present.
    _counts: defaultdict[tuple[str, str], Counts] = field(default_factory=lambda: defaultdict(Counts))

    def add(self, stratum: str, version: str, sample: Sample) -> None:
        self._counts[stratum, version] += sample.as_counts()

    def hand_out(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the counts and begin anew."""
        counts, self._counts = self._counts, defaultdict(Counts)
        return tuple(
            Measurement(
                source=stratum,
                window=window,
                stable=counts[stratum, rollout.stable or ""],
                canary=counts[stratum, rollout.canary],
                trouble=self.trouble,
            )
            for stratum in self.strata
        )
