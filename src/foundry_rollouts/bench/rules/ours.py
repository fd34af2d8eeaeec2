"""Our judge: one gate, one source, the steps of a policy."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.processes import Processes, VectorProcesses
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import HOUR, Streams
from foundry_rollouts.core.judging.capital import Hypotheses
from foundry_rollouts.core.judging.constants import EVEN, GROSS, STALE_AFTER
from foundry_rollouts.core.model.policy import Judging, Margin, WeightStep

#: Only what a step without proof asks for is worked out: is it less than so much worse.
_LADDER = (GROSS,)
#: Nothing speaks for harm; a hair above 1 is rounding.
QUIET = EVEN + 1e-9

Proofs = Callable[[int, Hypotheses, Floats], Processes]

STRICT = Judging(tolerate=Margin(1.0))
MINUTE = timedelta(minutes=1)


def vector_proofs(runs: int, bets: Hypotheses, known: Floats) -> Processes:
    """Return the evidence of ``runs`` runs, worked out together; ``known`` failures of stable were seen before."""
    return VectorProcesses(runs, bets, _LADDER, known)


@dataclass(frozen=True, slots=True)
class Ours:
    """The judge under a policy with ``on-no-evidence: advance-if-not-gross``."""

    name: str
    steps: tuple[WeightStep, ...]
    judge: Judging = STRICT
    tick: float = 5.0
    patience: float = HOUR
    proofs: Proofs = vector_proofs

    def pilot(self, streams: Streams) -> "OursPilot":
        return OursPilot(len(streams), self, streams.known)


@dataclass(slots=True)
class OursPilot:
    """The rollouts under way."""

    runs: int
    rule: Ours
    known: Floats
    weight: Floats = field(init=False)
    ended: Ints = field(init=False)
    _evidence: Processes = field(init=False)
    _step: Ints = field(init=False)
    _began: Floats = field(init=False)
    _seen: Floats = field(init=False)

    def __post_init__(self) -> None:
        self._evidence = self.rule.proofs(
            self.runs, Hypotheses(self.rule.judge.tolerate, self.rule.judge.bad), self.known
        )
        self._step, self._began = np.zeros(self.runs, dtype=np.int64), np.zeros(self.runs)
        self._seen = np.full(self.runs, -math.inf)
        self.weight = np.full(self.runs, float(self.rule.steps[0].weight))
        self.ended = np.full(self.runs, RUNNING)

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        judge = self.rule.judge
        self._seen[at[counts.canary_calls > 0]] = now
        self._evidence.observe(at, counts, self.rule.tick)
        harm = self._evidence.harm(at)
        self.ended[at[harm >= -math.log(judge.false_rollback)]] = ROLLED_BACK
        may_move = (harm <= QUIET) & (now - self._seen[at] <= STALE_AFTER.total_seconds())
        self._advance(at[may_move & (self._is_proved(at, now) | self._is_let_go(at, now))], now)

    def _is_proved(self, at: Ints, now: float) -> Bools:
        has_baked = now - self._began[at] >= self._limits(at, [step.min for step in self.rule.steps])
        return has_baked & (self._evidence.safe(at) >= -math.log(self.rule.judge.missed_bad))

    def _is_let_go(self, at: Ints, now: float) -> Bools:
        is_overdue = now - self._began[at] >= self._limits(at, [step.max for step in self.rule.steps])
        return is_overdue & (self._evidence.at_most_worse(at, self.rule.judge.missed_bad) <= GROSS)

    def _limits(self, at: Ints, spans: list[timedelta] | list[timedelta | None]) -> Floats:
        seconds = np.array([math.inf if span is None else span.total_seconds() for span in spans])
        return seconds[self._step[at]]

    def _advance(self, at: Ints, now: float) -> None:
        if not at.size:
            return
        self._step[at] += 1
        self.weight[at] = np.array([float(step.weight) for step in self.rule.steps])[self._step[at]]
        self._began[at], self._seen[at] = now, -math.inf
        self.ended[at[self.weight[at] == 100]] = ALL_TRAFFIC
        self._evidence.reweigh(at)


def by_steps(soak: timedelta) -> tuple[WeightStep, ...]:
    """Return 10, 50, 100, at 50 for ``soak`` at least; after ten minutes a step without proof is let go."""
    ten = timedelta(minutes=10)
    return (WeightStep(10, MINUTE, ten), WeightStep(50, soak, ten), WeightStep(100))
