"""What is counted in one interval, and how intervals become batches to bet on."""

from collections.abc import Iterable
from dataclasses import dataclass

from foundry_rollouts.core.judging.constants import BATCH_CALLS, WAITING_INTERVALS, WAITING_STABLE_CALLS
from foundry_rollouts.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tally:
    """What one source counted in one interval: calls on each version, and how many of them failed."""

    canary_calls: int = 0
    canary_failures: int = 0
    stable_calls: int = 0
    stable_failures: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.canary_failures <= self.canary_calls and 0 <= self.stable_failures <= self.stable_calls):
            raise UsageError(f"{self}: failures are counted among the calls, from none to all of them")

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.canary_calls + other.canary_calls,
            self.canary_failures + other.canary_failures,
            self.stable_calls + other.stable_calls,
            self.stable_failures + other.stable_failures,
        )

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """The canary's calls and failures, then stable's."""
        return self.canary_calls, self.canary_failures, self.stable_calls, self.stable_failures

    @property
    def calls(self) -> int:
        return self.canary_calls + self.stable_calls

    @property
    def is_batch(self) -> bool:
        """Whether there is enough to bet on; outcomes have no say in it, or the bets would not be fair."""
        return min(self.canary_calls, self.stable_calls) >= 1 and self.calls >= BATCH_CALLS


def next_batch(waiting: tuple[Tally, ...], tally: Tally) -> tuple[Tally | None, tuple[Tally, ...]]:
    """Return the batch that ``tally`` closes, if it closes one, and the intervals that wait after it, oldest first.

    Where one version goes unheard, its calls of now must not meet the other's of long ago. So an interval that is large
    enough stands alone, and what waited is dropped: it is the batch, or nothing is where it heard one version only.
    What waits are small intervals, the last three in which anything was heard, or as many more as it takes to hold the
    last eight calls; the last 32 where all are on stable, for a canary that few calls meet has to be compared with
    enough of them. See ``statistics.md``, 10.1.
    """
    if tally.calls >= BATCH_CALLS:
        return (tally if tally.is_batch else None), ()
    kept = (*waiting, tally) if tally.calls else waiting
    if (together := total(kept)).is_batch:
        return together, ()
    enough = BATCH_CALLS if total(kept).canary_calls else WAITING_STABLE_CALLS
    while len(kept) > WAITING_INTERVALS and total(kept[1:]).calls >= enough:
        kept = kept[1:]
    return None, kept


def total(tallies: Iterable[Tally]) -> Tally:
    """Return all of ``tallies`` together."""
    return sum(tallies, start=Tally())
