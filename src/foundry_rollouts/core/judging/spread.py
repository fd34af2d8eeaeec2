"""How many calls fail together, learnt from stable, for sources that cannot tell one session from another."""

from dataclasses import dataclass

from foundry_rollouts.core.judging.constants import (
    CLUSTER_AT_FIRST,
    CLUSTER_AT_MOST,
    CLUSTER_CAUTION,
    CLUSTER_HALF_LIFE,
    CLUSTER_WORTH,
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How far stable's failures scatter over the intervals, against how far single calls would.

    Failures that come in clusters of ``m`` scatter ``m`` times as widely as single ones (the index of dispersion), so
    that dividing the logarithms of all bets by ``m`` keeps their promise (``statistics.md``, 5.9 and 10.6).
    """

    squares: float = 0.0  #: The sum of squared differences from what was to be expected.
    expected: float = 0.0  #: Failures.

    @property
    def cluster(self) -> float:
        """How many calls fail together at most: cautious at first, then as stable shows it.

        The scatter tells the mean cluster, and the promise needs the largest: what lies above one counts twice.
        """
        seen = CLUSTER_AT_FIRST * CLUSTER_WORTH + self.squares
        mean = max(seen / (CLUSTER_WORTH + self.expected), 1.0)
        return min(1 + CLUSTER_CAUTION * (mean - 1), CLUSTER_AT_MOST)

    def after(self, calls: int, failures: int, rate: float, seconds: float) -> "Spread":
        """Return the spread after an interval in which stable, thought to fail at ``rate``, had ``calls``."""
        kept = 0.5 ** (seconds / CLUSTER_HALF_LIFE)
        due = calls * rate
        # One interval that is out of all proportion is an outage and no cluster.
        square = min((failures - due) ** 2 / (1 - rate), CLUSTER_AT_MOST * max(failures, due))
        return Spread(self.squares * kept + square, self.expected * kept + due)
