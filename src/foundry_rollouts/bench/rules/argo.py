"""Argo Rollouts: a background analysis of the canary's success rate, while the weights advance on pauses.

More failed measurements than the limit abort; a measurement without calls is an error, tried again after ten seconds,
and more than four errors in a row abort. Steps advance whether or not anything was seen. (Its own documentation.)
"""

from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.rules.counted import History
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import HOUR, Streams

_RETRY, _ERRORS = 10.0, 4


@dataclass(frozen=True, slots=True)
class Argo:
    """``weights``, each for ``pause`` seconds; a measurement every ``interval`` seconds over as long a window."""

    name: str
    weights: tuple[int, ...]
    pause: float
    interval: float
    min_success: float
    failure_limit: int = 3
    tick: float = 10.0
    patience: float = HOUR

    def pilot(self, streams: Streams) -> "ArgoPilot":
        return ArgoPilot(len(streams), self)


@dataclass(slots=True)
class ArgoPilot:
    """The rollouts under way."""

    runs: int
    rule: Argo
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _failed: Ints = field(init=False)
    _errors: Ints = field(init=False)
    _due: Floats = field(init=False)
    _history: History = field(init=False)

    def __post_init__(self) -> None:
        self.weight = np.full(self.runs, float(self.rule.weights[0]))
        self.ended = np.full(self.runs, RUNNING)
        self._failed, self._errors = np.zeros(self.runs, np.int64), np.zeros(self.runs, np.int64)
        self._due = np.full(self.runs, self.rule.interval)
        self._history = History(self.runs, self.rule.tick)

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        self._history.add(at, counts)
        self._measure(at[self._due[at] <= now], now)
        step = int(now // self.rule.pause)
        if step < len(self.rule.weights):
            self.weight[at] = self.rule.weights[step]
        else:
            self.ended[at[self.ended[at] == RUNNING]] = ALL_TRAFFIC

    def _measure(self, due: Ints, now: float) -> None:
        if not due.size:
            return
        seen = self._history.last(due, self.rule.interval)
        good = seen.canary_calls - seen.canary_failures
        is_error = seen.canary_calls == 0
        self._failed[due[~is_error & (good < self.rule.min_success * seen.canary_calls)]] += 1
        self._errors[due] = np.where(is_error, self._errors[due] + 1, 0)
        self._due[due] = now + np.where(is_error, _RETRY, self.rule.interval)
        is_over = (self._failed[due] > self.rule.failure_limit) | (self._errors[due] > _ERRORS)
        self.ended[due[is_over]] = ROLLED_BACK
