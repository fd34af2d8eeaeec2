"""One version against a rate that is known: its ceiling, and the guard of a canary that has nobody to compare with.

One version alone needs no batches: the rate is known, so each call is a bet of its own.
"""

import math
from dataclasses import dataclass, replace

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.bets import floor_bets
from foundry_rollouts.core.judging.capital import Capital, accrued
from foundry_rollouts.core.judging.constants import GUARD, MINUTE, STAKED_EACH_MINUTE, WARM_POINTS


@dataclass(frozen=True, slots=True)
class CeilingProcess:
    """The evidence that a version fails more often than a limit allows, whatever the other does."""

    harm: Capital = Capital()

    @property
    def log(self) -> float:
        """The evidence, as a natural logarithm."""
        return self.harm.log


def begin_floor() -> CeilingProcess:
    """Return the evidence before the first interval: none."""
    return CeilingProcess()


def observed_floor(
    process: CeilingProcess, limit: float, tally: Tally, seconds: float, cluster: float = 1.0
) -> CeilingProcess:
    """Return the evidence after one more interval; ``limit`` is the highest rate at which a canary may fail."""
    staked = process.harm.staked
    if tally.canary_calls:
        alone = Tally(tally.canary_calls, tally.canary_failures)
        staked = accrued(staked, floor_bets(limit), alone, cluster)
    return CeilingProcess(Capital(staked, process.harm.cash, process.harm.clock).later(seconds))


def alarmed(process: CeilingProcess, limit: float, tally: Tally, seconds: float, cluster: float) -> CeilingProcess:
    """Return the evidence after one more interval, where what breaks just now has to be seen at once.

    The stake of a minute flows evenly, and before the interval is known: an alarm that had to wait for the minute to be
    over would cost a minute of failures.
    """
    flow = -math.expm1(math.log1p(-STAKED_EACH_MINUTE) * seconds / MINUTE)
    ready = process.harm.stake(flow) if flow > 0 else process.harm
    return observed_floor(CeilingProcess(ready), limit, tally, 0.0, cluster)


@dataclass(frozen=True, slots=True)
class Guard:
    """The evidence that a canary with all traffic fails more than twice as often as stable did, and 5 points more."""

    past: float  #: What stable failed at when this weight began.
    process: CeilingProcess = CeilingProcess()
    is_known: bool = True  #: Enough was seen of stable to say so.

    @property
    def log(self) -> float:
        """The evidence, as a natural logarithm."""
        return self.process.log

    def after(self, tally: Tally, seconds: float, *, is_warm: bool, cluster: float) -> "Guard":
        """Return the guard after one more interval; a canary that warms up may fail as much more as elsewhere."""
        line = replace(GUARD, points=max(GUARD.points, WARM_POINTS)) if is_warm else GUARD
        limit = min(line.of(self.past), 1.0)
        return replace(self, process=alarmed(self.process, limit, tally, seconds, cluster))
