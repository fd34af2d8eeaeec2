"""What was counted so far, kept so that any window can be read again."""

from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Ints


@dataclass(slots=True)
class History:
    """The counts of all runs, a row for each tick."""

    runs: int
    tick: float
    _rows: list[Counts] = field(default_factory=list)
    _total: Counts = field(init=False)

    def __post_init__(self) -> None:
        self._total = _sums(np.zeros((4, self.runs), dtype=np.int64))
        self._rows.append(self._total)

    def add(self, at: Ints, counts: Counts) -> None:
        """Keep what the runs ``at`` counted in one more tick."""
        sums = np.stack(_columns(self._total))
        sums[:, at] += np.stack(_columns(counts))
        self._total = _sums(sums)
        self._rows.append(self._total)

    def last(self, at: Ints, seconds: float) -> Counts:
        """Return what the runs ``at`` counted in the last ``seconds``, as far as there were any."""
        first = max(0, len(self._rows) - 1 - round(seconds / self.tick))
        pairs = zip(_columns(self._total), _columns(self._rows[first]), strict=True)
        return Counts(*(total[at] - before[at] for total, before in pairs))


def _columns(counts: Counts) -> tuple[Ints, Ints, Ints, Ints]:
    return counts.canary_calls, counts.canary_failures, counts.stable_calls, counts.stable_failures


def _sums(columns: Ints) -> Counts:
    return Counts(*columns)
