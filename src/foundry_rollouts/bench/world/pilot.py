"""How the steps of a policy are led (``core/deciding``), for many runs at once."""

import math
from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.simulate import ROLLED_BACK, RUNNING
from foundry_rollouts.bench.world.judge import Late, Standing, Verdicts, WorldJudge
from foundry_rollouts.bench.world.laws import Plan, Step
from foundry_rollouts.core.judging.constants import GROSS, STALE_AFTER, STEP_BACKS

PROMOTED, PAUSED = 3, 4
_STALE = STALE_AFTER.total_seconds()


@dataclass(slots=True)
class WorldPilot:
    """The rollouts under way; ages leave out the time in which both versions are in trouble."""

    runs: int
    plan: Plan
    judge: WorldJudge
    steps: tuple[Step, ...] = field(init=False)
    ended: Ints = field(init=False)
    step: Ints = field(init=False)
    step_backs: Ints = field(init=False)
    rises: Ints = field(init=False)
    troubled: Floats = field(init=False)  #: Seconds in shared trouble.
    _age: Floats = field(init=False)
    _step_age: Floats = field(init=False)
    _since_step: Floats = field(init=False)  #: By the wall.
    _unseen: Floats = field(init=False)  #: Seconds since the canary was last seen at this step.

    def __post_init__(self) -> None:
        self.steps = self.plan.steps
        self.ended = np.full(self.runs, RUNNING)
        self.step, self.step_backs, self.rises = np.zeros((3, self.runs), dtype=np.int64)
        self.troubled, self._age, self._step_age, self._since_step = np.zeros((4, self.runs))
        self._unseen = np.full(self.runs, np.inf)

    def weight(self, at: Ints) -> Floats:
        weight: Floats = np.array([float(step.weight) for step in self.steps])[self.step[at]]
        return weight

    def tick(self, at: Ints, counts: list[Counts], late: Late = ()) -> Ints:
        """Judge and move; return which runs stand at another weight now."""
        stood = self.judge.is_troubled[at]
        for age in (self._age, self._step_age):
            age[at] += np.where(stood, 0.0, self.plan.tick)
        self.troubled[at] += np.where(stood, self.plan.tick, 0.0)
        self._since_step[at] += self.plan.tick
        sees = np.any([each.canary_calls > 0 for each in counts], axis=0)
        self._unseen[at] = np.where(sees, 0.0, self._unseen[at] + self.plan.tick)
        return self._moved(at, self.judge.observe(self._asked(at), counts, late))

    def _asked(self, at: Ints) -> Standing:
        is_warm = self._since_step[at] <= self.plan.laws.warm_up + 1e-9
        ticks = np.array([round(self.plan.settle(step) / self.plan.tick) for step in self.steps])
        return Standing(at, self.weight(at), is_warm & bool(self.plan.laws.warm_up), ticks[self.step[at]])

    def _moved(self, at: Ints, seen: Verdicts) -> Ints:
        self.ended[at[seen.fails]] = ROLLED_BACK
        # The way back from all traffic is open in shared trouble too.
        back = ~seen.fails & seen.goes_back
        goes_on = ~seen.fails & ~back & ~seen.is_troubled
        is_late = goes_on & (self._age[at] >= self.plan.deadline)
        self.ended[at[is_late]] = PAUSED
        is_old = self._step_age[at] >= np.array([self.plan.settle(step) for step in self.steps])[self.step[at]]
        may_go = goes_on & ~is_late & is_old & seen.is_quiet & ~seen.is_suspect
        up = self._raise(at, may_go, seen)
        moved: Ints = np.concatenate([self._go_back(at[back]), up])
        return moved

    def _raise(self, at: Ints, may_go: Bools, seen: Verdicts) -> Ints:
        goes = at[may_go & self._is_fresh(at) & (self._is_proved(at, seen) | self._is_let_go(at))]
        is_last = self.step[goes] == len(self.steps) - 1
        self.ended[goes[is_last]] = PROMOTED
        up: Ints = goes[~is_last]
        self._enter(up, self.step[up] + 1)
        self.rises[up] += 1
        return up

    def _is_fresh(self, at: Ints) -> Bools:
        is_so: Bools = self._unseen[at] <= _STALE
        return is_so

    def _is_proved(self, at: Ints, seen: Verdicts) -> Bools:
        has_baked: Bools = self._step_age[at] >= np.array([step.min for step in self.steps])[self.step[at]]
        return seen.is_proved & has_baked

    def _is_let_go(self, at: Ints) -> Bools:
        if not self.plan.goes_on_if_not_gross:
            return np.zeros(len(at), dtype=np.bool_)
        is_overdue = self._step_age[at] >= np.array([step.max for step in self.steps])[self.step[at]]
        is_fine: Bools = is_overdue & (self.judge.at_most_worse(at) <= GROSS)
        return is_fine

    def _go_back(self, at: Ints) -> Ints:
        self.step_backs[at] += 1
        self.ended[at[self.step_backs[at] >= STEP_BACKS]] = PAUSED
        self._enter(at, self.step[at] - 1)
        return at

    def _enter(self, at: Ints, step: Ints) -> None:
        self.step[at] = step
        self._step_age[at], self._since_step[at], self._unseen[at] = 0.0, 0.0, math.inf
        if at.size:
            self.judge.reweigh(at)
