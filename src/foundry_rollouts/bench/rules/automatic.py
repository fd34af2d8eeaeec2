"""Weights chosen as the evidence grows: never so much that one look could miss more failures than the blast radius.

Between two looks at most ``calls x weight x worse`` failures slip through, where ``worse`` is what the ladder has not
excluded yet; while it excludes nothing, the first weight stays. The weight is the greatest level that keeps this below
the blast radius; a proof of safety at any level
leads to 50, and after the soak to all traffic. A plan of this kind is not among the steps of a policy in this release.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.rules.ours import QUIET, STRICT
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import HOUR, Streams
from foundry_rollouts.core.judge import GROSS
from foundry_rollouts.core.policy import Judging
from foundry_rollouts.core.statistics import Bets

LEVELS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
_FIRST_AT_MOST, _LAST, _LET_GO = 20.0, 50.0, 600.0


@dataclass(frozen=True, slots=True)
class Automatic:
    """At most ``blast_radius`` failures unseen; at least ``soak`` seconds at 50."""

    name: str
    blast_radius: float = 20.0
    soak: float = 60.0
    judge: Judging = STRICT
    look: float = 5.0
    patience: float = HOUR

    def pilot(self, streams: Streams) -> "AutomaticPilot":
        return AutomaticPilot(len(streams), self, streams.traffic)


@dataclass(slots=True)
class AutomaticPilot:
    """The rollouts under way."""

    runs: int
    rule: Automatic
    traffic: Floats
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _evidence: VectorProcesses = field(init=False)
    _is_proved: Bools = field(init=False)
    _began: Floats = field(init=False)

    def __post_init__(self) -> None:
        self._evidence = VectorProcesses(self.runs, Bets(self.rule.judge.tolerate, self.rule.judge.bad))
        self.ended = np.full(self.runs, RUNNING)
        self._is_proved, self._began = np.zeros(self.runs, dtype=np.bool_), np.zeros(self.runs)
        self.weight = np.minimum(self._level(np.arange(self.runs), np.ones(self.runs)), _FIRST_AT_MOST)

    def look(self, at: Ints, now: float, counts: Counts) -> None:
        judge = self.rule.judge
        self._evidence.observe(at, counts, self.rule.look)
        harm = self._evidence.harm(at)
        self.ended[at[harm >= -math.log(judge.false_rollback)]] = ROLLED_BACK
        quiet = at[harm <= QUIET]
        self._is_proved[quiet] |= self._evidence.safe(quiet) >= -math.log(judge.missed_bad)
        worse = self._evidence.at_most_worse(quiet, judge.missed_bad)
        self._finish(quiet, worse, now)
        self._raise(quiet, worse, now)

    def _finish(self, at: Ints, worse: Floats, now: float) -> None:
        age, is_last = now - self._began[at], self.weight[at] == _LAST
        is_let_go = (age >= _LET_GO) & (worse <= GROSS)
        has_soaked = self._is_proved[at] & (age >= self.rule.soak)
        self.ended[at[is_last & (is_let_go | has_soaked)]] = ALL_TRAFFIC

    def _raise(self, at: Ints, worse: Floats, now: float) -> None:
        wanted = np.where(self._is_proved[at], _LAST, self._level(at, worse))
        rises = (wanted > self.weight[at]) & (self.ended[at] == RUNNING)
        if rises.any():
            self.weight[at[rises]] = wanted[rises]
            self._began[at[rises]] = now
            self._evidence.reweigh(at[rises])

    def _level(self, at: Ints, worse: Floats) -> Floats:
        """Return the greatest level at which one look misses no more failures than the blast radius."""
        most = 100 * self.rule.blast_radius / (self.traffic[at] * self.rule.look * worse)
        places = np.searchsorted(np.array(LEVELS), most, side="right") - 1
        return np.array(LEVELS)[np.maximum(places, 0)]
