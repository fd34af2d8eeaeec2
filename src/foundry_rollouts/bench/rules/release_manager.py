"""Cloud Run Release Manager: the canary's error rate over the last half hour, checked every minute.

An error rate above the maximum goes back at once, however few calls there were; fewer calls than the minimum hold; else
the next step follows half an hour after the last. The window is not cut to the present step. (Its own README.)
"""

from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.rules.counted import History
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import Streams

_MINUTE, _WINDOW, _WAIT = 60.0, 1800.0, 1800.0


@dataclass(frozen=True, slots=True)
class ReleaseManager:
    """The configuration of its README: 5, 20, 50, 80; at most 1 % errors; at least 100 calls."""

    name: str
    weights: tuple[int, ...] = (5, 20, 50, 80)
    max_errors: float = 0.01
    min_calls: int = 100
    tick: float = 30.0
    patience: float = 3 * 3600.0

    def pilot(self, streams: Streams) -> "ReleaseManagerPilot":
        return ReleaseManagerPilot(len(streams), self)


@dataclass(slots=True)
class ReleaseManagerPilot:
    """The rollouts under way."""

    runs: int
    rule: ReleaseManager
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _step: Ints = field(init=False)
    _began: Floats = field(init=False)
    _history: History = field(init=False)

    def __post_init__(self) -> None:
        self.weight = np.full(self.runs, float(self.rule.weights[0]))
        self.ended = np.full(self.runs, RUNNING)
        self._step, self._began = np.zeros(self.runs, np.int64), np.zeros(self.runs)
        self._history = History(self.runs, self.rule.tick)

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        self._history.add(at, counts)
        if now % _MINUTE:
            return
        seen = self._history.last(at, _WINDOW)
        is_unhealthy = seen.canary_failures > self.rule.max_errors * seen.canary_calls
        is_known = seen.canary_calls >= self.rule.min_calls
        self.ended[at[is_unhealthy]] = ROLLED_BACK
        moves = at[~is_unhealthy & is_known & (now - self._began[at] >= _WAIT)]
        self._step[moves] += 1
        self._began[moves] = now
        is_last = self._step[moves] >= len(self.rule.weights)
        self.ended[moves[is_last]] = ALL_TRAFFIC
        onward = moves[~is_last]
        self.weight[onward] = np.array(self.rule.weights, dtype=np.float64)[self._step[onward]]
