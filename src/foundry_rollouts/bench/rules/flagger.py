"""Flagger: the canary's own success rate against a fixed minimum, once every interval.

A window below the minimum, or without calls, is a failed check; failed checks are never forgotten. A passed check moves
one step; at the greatest weight it copies the new version to the primary, which takes one interval more. The rollback
comes at the interval after the last failed check. Stable is ignored. (Its own documentation and scheduler.)
"""

from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.rules.counted import History
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import HOUR, Streams
from foundry_rollouts.core.model.policy import Margin

_INTERVAL = 60.0


@dataclass(frozen=True, slots=True)
class Flagger:
    """The documented canary: every minute, at least 99 %."""

    name: str
    step_weight: int
    threshold: int
    max_weight: int = 50
    min_success: float = 0.99
    tuned: Margin | None = None  #: Set for each service by who knows its rate: what a minute may fail at.
    tick: float = 30.0
    patience: float = HOUR

    def pilot(self, streams: Streams) -> "FlaggerPilot":
        return FlaggerPilot(len(streams), self, self._least(streams))

    def _least(self, streams: Streams) -> Floats:
        if self.tuned is None:
            return np.full(len(streams), self.min_success)
        return 1 - (self.tuned.ratio * streams.stable_rates + self.tuned.points)


@dataclass(slots=True)
class FlaggerPilot:
    """The rollouts under way."""

    runs: int
    rule: Flagger
    least: Floats  #: The least part of a minute's calls that must do well, of each run.
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _failed: Ints = field(init=False)
    _is_promoting: Ints = field(init=False)
    _history: History = field(init=False)

    def __post_init__(self) -> None:
        self.weight = np.full(self.runs, float(self.rule.step_weight))
        self.ended = np.full(self.runs, RUNNING)
        self._failed, self._is_promoting = np.zeros(self.runs, np.int64), np.zeros(self.runs, np.int64)
        self._history = History(self.runs, self.rule.tick)

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        self._history.add(at, counts)
        if now % _INTERVAL:
            return
        rule, seen = self.rule, self._history.last(at, _INTERVAL)
        is_over = self._failed[at] >= rule.threshold
        is_copied = self._is_promoting[at] == 1
        good = seen.canary_calls - seen.canary_failures
        has_passed = (seen.canary_calls > 0) & (good >= self.least[at] * seen.canary_calls)
        self.ended[at[is_copied]] = ALL_TRAFFIC
        self.ended[at[is_over & ~is_copied]] = ROLLED_BACK
        is_checked = ~is_over & ~is_copied
        self._failed[at[is_checked & ~has_passed]] += 1
        moves = at[is_checked & has_passed]
        is_at_top = self.weight[moves] >= rule.max_weight
        self._is_promoting[moves[is_at_top]] = 1
        self.weight[moves[~is_at_top]] += rule.step_weight
