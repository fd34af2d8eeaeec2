"""Weights that rise as the evidence grows (``core/deciding/automatic.py``), for many runs at once."""

from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.world.judge import Late, Verdicts
from foundry_rollouts.bench.world.laws import MINUTE, Step
from foundry_rollouts.bench.world.pilot import WorldPilot
from foundry_rollouts.core.deciding.automatic import FIRST_AT_MOST
from foundry_rollouts.core.judging.constants import GROSS, TELLING_CALLS
from foundry_rollouts.core.model.policy import CALL_LIMIT, CLIMB, SOAK

_LEVELS = np.array([*CLIMB, SOAK], dtype=np.float64)
_SOAK = len(CLIMB)  # The number of the step at which the canary soaks.


def automatic_steps(soak: float = 5 * MINUTE, bake: float = 0.0, most: float = 10 * MINUTE) -> tuple[Step, ...]:
    """Return the steps among which the evidence chooses; ``most`` is when one that is not proved is let go."""
    return (*(Step(weight, 0.0, most) for weight in CLIMB), Step(SOAK, soak, most), Step(100, bake))


@dataclass(slots=True)
class AutomaticPilot(WorldPilot):
    """The rollouts under way; a judge with the whole ladder leads them."""

    _is_proved_once: Bools = field(init=False)
    _calls: Floats = field(init=False)  #: Of users at this weight, on both versions.
    _canary_calls: Floats = field(init=False)
    _stable_calls: Floats = field(init=False)
    _watched: Floats = field(init=False)  #: Seconds of this step.
    _busiest: Floats = field(init=False)  #: Calls in the busiest tick, rather too many.

    def __post_init__(self) -> None:
        # Without arguments ``super`` loses its class in a dataclass with slots.
        super(AutomaticPilot, self).__post_init__()
        self._is_proved_once = np.zeros(self.runs, dtype=np.bool_)
        self._calls, self._canary_calls, self._stable_calls, self._watched, self._busiest = np.zeros((5, self.runs))

    def tick(self, at: Ints, counts: list[Counts], late: Late = ()) -> Ints:
        users = counts[0]
        self._watched[at] += self.plan.tick
        tells = users.calls >= TELLING_CALLS
        self._busiest[at[tells]] = np.maximum(self._busiest[at[tells]], _at_most(users.calls[tells]))
        for seen in (users, *(each for _, each in late)):
            self._calls[at] += seen.calls
            self._canary_calls[at] += seen.canary_calls
            self._stable_calls[at] += seen.stable_calls
        # ``super()`` without arguments loses its class in a dataclass with slots.
        return super(AutomaticPilot, self).tick(at, counts, late)

    def _raise(self, at: Ints, may_go: Bools, seen: Verdicts) -> Ints:
        is_proved = seen.is_proved & seen.is_quiet & ~seen.is_troubled & self._is_fresh(at)
        self._is_proved_once[at[is_proved]] = True
        worse, climbs = self.judge.at_most_worse(at), self.step[at] < _SOAK
        # The first weight allows for a dead canary, and may be left before anything was seen of it.
        may_climb = climbs & (
            self._is_fresh(at) | ((self.step[at] == 0) & np.isinf(self._unseen[at]) & np.isinf(worse))
        )
        higher = np.where(climbs & is_proved, _SOAK, np.where(may_climb, self._level(at, worse), 0))
        is_higher = may_go & (higher > self.step[at])
        jumps, target, rest = at[is_higher], higher[is_higher], may_go & ~is_higher
        others = super(AutomaticPilot, self)._raise(at, rest, seen)
        self._enter(jumps, target)
        self.rises[jumps] += 1
        return np.concatenate([jumps, others])

    def _is_proved(self, at: Ints, seen: Verdicts) -> Bools:
        has_baked = self._step_age[at] >= np.array([step.min for step in self.steps])[self.step[at]]
        has_soaked = (self.step[at] == _SOAK) & self._is_proved_once[at] & self._is_watched_long(at)
        is_so: Bools = (self.step[at] >= _SOAK) & has_baked & (seen.is_proved | has_soaked)
        return is_so

    def _is_watched_long(self, at: Ints) -> Bools:
        by_users = (self._canary_calls[at] >= TELLING_CALLS) & (self._stable_calls[at] > 0)
        by_probe = np.zeros(len(at), dtype=np.bool_)
        if self.plan.pairs:
            by_probe = self._watched[at] / self.plan.tick * self.plan.pairs >= TELLING_CALLS
        is_so: Bools = (self._watched[at] >= self.steps[_SOAK].min) & (by_users | by_probe)
        return is_so

    def _is_let_go(self, at: Ints) -> Bools:
        is_overdue = self._step_age[at] >= np.array([step.max for step in self.steps])[self.step[at]]
        is_climbing = (self.step[at] < _SOAK) | self.plan.goes_on_if_not_gross
        is_fine: Bools = is_overdue & is_climbing & (self.judge.at_most_worse(at) <= GROSS)
        return is_fine

    def _level(self, at: Ints, worse: Floats) -> Ints:
        """Return the highest step at which one tick misses no more failures than the blast radius."""
        calls, tick = self._calls[at], self.plan.tick
        in_a_tick = np.maximum(_at_most(calls) / np.maximum(self._watched[at], tick) * tick, self._busiest[at])
        slow = max(self.plan.laws.settle - CALL_LIMIT.total_seconds(), 0.0)
        in_a_tick *= (tick + slow) / tick
        is_unknown = np.isinf(worse)
        most = 100 * (self.plan.blast_radius or 0.0) / (in_a_tick * np.where(is_unknown, 1.0, worse))
        most = np.minimum(most, np.where(is_unknown, FIRST_AT_MOST, SOAK))
        level = np.maximum(np.searchsorted(_LEVELS, most, side="right") - 1, 0)
        return np.where(calls >= TELLING_CALLS, level, 0)

    def _enter(self, at: Ints, step: Ints) -> None:
        super(AutomaticPilot, self)._enter(at, step)
        self._calls[at] = self._canary_calls[at] = self._stable_calls[at] = self._watched[at] = 0.0


def _at_most(calls: Floats | Ints) -> Floats:
    return np.asarray(calls + 2 * np.sqrt(calls) + 3, dtype=np.float64)
