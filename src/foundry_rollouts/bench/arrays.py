"""The arrays that simulated rollouts are kept in: one place for each run."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in one interval, one place for each run: calls on each version, and failures among them."""

    canary_calls: Ints
    canary_failures: Ints
    stable_calls: Ints
    stable_failures: Ints

    def __getitem__(self, places: Ints | Bools) -> "Counts":
        return Counts(
            self.canary_calls[places],
            self.canary_failures[places],
            self.stable_calls[places],
            self.stable_failures[places],
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.canary_calls + other.canary_calls,
            self.canary_failures + other.canary_failures,
            self.stable_calls + other.stable_calls,
            self.stable_failures + other.stable_failures,
        )

    def put(self, places: Ints, other: "Counts") -> None:
        """Write ``other`` into ``places``."""
        self.canary_calls[places] = other.canary_calls
        self.canary_failures[places] = other.canary_failures
        self.stable_calls[places] = other.stable_calls
        self.stable_failures[places] = other.stable_failures

    @classmethod
    def of(cls, rows: Ints) -> "Counts":
        """Return the counts that stand in the columns of ``rows``."""
        return cls(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3])

    @property
    def rows(self) -> Ints:
        """The counts, a row for each run."""
        return np.stack([self.canary_calls, self.canary_failures, self.stable_calls, self.stable_failures], axis=1)

    @property
    def calls(self) -> Ints:
        return self.canary_calls + self.stable_calls


def no_counts(runs: int) -> Counts:
    """Return the counts of ``runs`` runs that saw nothing."""
    empty = [np.zeros(runs, dtype=np.int64) for _ in range(4)]
    return Counts(*empty)
