"""Automatic steps as ``core/deciding/automatic.py`` chooses them, for many rollouts at once.

One source that counts at once, one gate; as with the other rules of ours, ``advance-if-not-gross`` after ten minutes.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.rules.ours import QUIET, STRICT
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import HOUR, Streams
from foundry_rollouts.core.deciding.automatic import FIRST_AT_MOST
from foundry_rollouts.core.judging.capital import Hypotheses
from foundry_rollouts.core.judging.constants import GROSS, TELLING_CALLS
from foundry_rollouts.core.model.policy import CLIMB, SOAK, Judging

LEVELS = (*CLIMB, SOAK)
_LET_GO = 600.0


@dataclass(frozen=True, slots=True)
class Automatic:
    """At most ``blast_radius`` failures unseen; at least ``soak`` seconds at 50."""

    name: str
    blast_radius: float = 20.0
    soak: float = 60.0
    judge: Judging = STRICT
    tick: float = 5.0
    patience: float = HOUR

    def pilot(self, streams: Streams) -> "AutomaticPilot":
        return AutomaticPilot(len(streams), self, streams.known)


@dataclass(slots=True)
class AutomaticPilot:
    """The rollouts under way."""

    runs: int
    rule: Automatic
    known: Floats
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _evidence: VectorProcesses = field(init=False)
    _is_proved: Bools = field(init=False)
    _began: Floats = field(init=False)
    _calls: Floats = field(init=False)  #: At this weight, on both versions.
    _canary_calls: Floats = field(init=False)  #: At this weight.
    _busiest: Floats = field(init=False)  #: Calls in the busiest tick, rather too many.

    def __post_init__(self) -> None:
        bets = Hypotheses(self.rule.judge.tolerate, self.rule.judge.bad)
        self._evidence = VectorProcesses(self.runs, bets, known=self.known)
        self.ended = np.full(self.runs, RUNNING)
        self._is_proved = np.zeros(self.runs, dtype=np.bool_)
        self._began, self._calls, self._canary_calls, self._busiest = np.zeros((4, self.runs))
        self.weight = np.full(self.runs, float(LEVELS[0]))

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        judge = self.rule.judge
        self._evidence.observe(at, counts, self.rule.tick)
        self._calls[at] += counts.calls
        self._canary_calls[at] += counts.canary_calls
        tells = at[counts.calls >= TELLING_CALLS]
        self._busiest[tells] = np.maximum(self._busiest[tells], _at_most(counts.calls[counts.calls >= TELLING_CALLS]))
        harm = self._evidence.harm(at)
        self.ended[at[harm >= -math.log(judge.false_rollback)]] = ROLLED_BACK
        quiet = at[harm <= QUIET]
        self._is_proved[quiet] |= self._evidence.safe(quiet) >= -math.log(judge.missed_bad)
        worse = self._evidence.at_most_worse(quiet, judge.missed_bad)
        self._finish(quiet, worse, now)
        self._raise(quiet, worse, now)

    def _finish(self, at: Ints, worse: Floats, now: float) -> None:
        age, is_last = now - self._began[at], (self.weight[at] == SOAK) & (self._canary_calls[at] > 0)
        is_let_go = (age >= _LET_GO) & (worse <= GROSS)
        is_proved_here = self._evidence.safe(at) >= -math.log(self.rule.judge.missed_bad)
        is_watched = (self._canary_calls[at] >= TELLING_CALLS) & (self._calls[at] > self._canary_calls[at])
        has_soaked = self._is_proved[at] & (age >= self.rule.soak) & (is_proved_here | is_watched)
        self.ended[at[is_last & (is_let_go | has_soaked)]] = ALL_TRAFFIC

    def _raise(self, at: Ints, worse: Floats, now: float) -> None:
        wanted = np.where(self._is_proved[at], float(SOAK), self._level(at, worse, now))
        rises = (wanted > self.weight[at]) & (self.ended[at] == RUNNING)
        moved = at[rises]
        self.weight[moved] = wanted[rises]
        self._began[moved], self._calls[moved], self._canary_calls[moved] = now, 0.0, 0.0
        self._evidence.reweigh(moved)

    def _level(self, at: Ints, worse: Floats, now: float) -> Floats:
        """Return the highest weight at which one tick misses no more failures than the blast radius."""
        calls, seconds = self._calls[at], now - self._began[at]
        mean = _at_most(calls) / np.maximum(seconds, self.rule.tick) * self.rule.tick
        calls_a_tick = np.maximum(mean, self._busiest[at])
        is_unknown = np.isinf(worse)
        most = 100 * self.rule.blast_radius / (calls_a_tick * np.where(is_unknown, 1.0, worse))
        most = np.minimum(most, np.where(is_unknown, FIRST_AT_MOST, SOAK))
        level = np.array(LEVELS, dtype=np.float64)[np.maximum(np.searchsorted(LEVELS, most, side="right") - 1, 0)]
        is_first = is_unknown & (self.weight[at] == LEVELS[0])
        may_rise = (calls >= TELLING_CALLS) & (is_first | (self._canary_calls[at] > 0))
        return np.where(may_rise, level, 0.0)


def _at_most(calls: Floats | Ints) -> Floats:
    return np.asarray(calls + 2 * np.sqrt(calls) + 3, dtype=np.float64)
