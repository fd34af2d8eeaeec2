"""A stratum whose calls are reported late: intervals stay open until all of their calls are known (10.7)."""

from dataclasses import replace

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.world.laws import Plan
from foundry_rollouts.bench.world.stratum import Seen, Stratum


class LateStratum(Stratum):
    """The evidence of all that is known, and beside it that of closed intervals, on which alone safety rests."""

    def __init__(
        self, runs: int, plan: Plan, known: Floats | None, ladder: tuple[float, ...] = (), *, is_guarded: bool = True
    ) -> None:
        at_once = plan.under(replace(plan.laws, settle=0.0))
        super().__init__(runs, at_once, known, ladder, is_guarded=is_guarded)
        self._closed = Stratum(runs, at_once, known, ladder, is_guarded=is_guarded)
        rooms = round(plan.laws.settle / plan.tick) + 1
        self._open = np.zeros((runs, rooms, 4), dtype=np.int64)  # The newest first.
        self._is_warm, self._is_troubled, self._is_open = np.zeros((3, runs, rooms), dtype=np.bool_)

    def reweigh(self, at: Ints) -> None:
        super().reweigh(at)
        _copy(self, self._closed, at)
        self._is_open[at] = False

    def observe(self, at: Ints, counts: Counts, seen: Seen) -> None:
        for kept, new in (
            (self._open, counts.rows),
            (self._is_warm, seen.is_warm),
            (self._is_troubled, seen.is_troubled),
            (self._is_open, np.ones(len(at), dtype=np.bool_)),
        ):
            kept[at, 1:] = kept[at, :-1]
            kept[at, 0] = new
        for age in range(self._open.shape[1] - 1, -1, -1):
            places = np.flatnonzero(self._is_open[at, age] & (age >= seen.settle))
            self._take(self._closed, at, places, age, seen)
            self._is_open[at[places], age] = False
        self._add_up(at, seen)

    def hear(self, at: Ints, counts: Counts, ago: int, seen: Seen) -> None:
        """Take in calls that began in the interval of ``ago`` ticks before this one."""
        if not counts.calls.any():
            return
        oldest = self._is_open[at].sum(axis=1) - 1
        heard = np.flatnonzero((oldest >= 0) & (counts.calls > 0))
        some = at[heard]
        self._open[some, np.minimum(oldest[heard], ago)] += counts.rows[heard]
        self._add_up(some, seen[heard])

    def safe(self, at: Ints) -> Floats:
        return Stratum.safe(self._closed, at)

    def at_most_worse(self, at: Ints, missed_bad: float) -> Floats:
        return Stratum.at_most_worse(self._closed, at, missed_bad)

    def _add_up(self, at: Ints, seen: Seen) -> None:
        _copy(self._closed, self, at)
        for age in range(self._open.shape[1] - 1, -1, -1):
            self._take(self, at, np.flatnonzero(self._is_open[at, age]), age, seen)

    def _take(self, stratum: Stratum, at: Ints, places: Ints, age: int, seen: Seen) -> None:
        if not places.size:
            return
        some = at[places]
        then = replace(
            seen[places],
            is_warm=self._is_warm[some, age],
            is_troubled=self._is_troubled[some, age],
            settle=np.zeros(len(some), dtype=np.int64),
        )
        Stratum.observe(stratum, some, Counts.of(self._open[some, age]), then)


def _copy(source: object, target: object, at: Ints) -> None:
    """Copy what ``source`` knows of the runs ``at`` into ``target``, array by array."""
    for name, theirs in vars(source).items():
        mine = getattr(target, name, None)
        if isinstance(theirs, np.ndarray) and isinstance(mine, np.ndarray):
            mine[at] = theirs[at]
        elif isinstance(theirs, Counts) and isinstance(mine, Counts):
            mine.put(at, theirs[at])
        elif hasattr(theirs, "__dict__") and hasattr(mine, "__dict__") and not isinstance(theirs, Stratum):
            _copy(theirs, mine, at)
