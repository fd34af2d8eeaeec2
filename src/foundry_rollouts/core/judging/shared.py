"""Trouble that both versions share: stable itself fails more than before.

A comparison cannot see it, and an evidence of safety that was won in the midst of it says nothing of calm times; so the
rollout holds until it is over. It may also be the canary's doing, through a database that both use.
"""

import math
from dataclasses import dataclass, replace

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import (
    CALM_CALLS,
    CALM_FAILURES,
    CALM_HISTORY,
    EVEN,
    FIRM_CALLS,
    MINUTE,
    TROUBLE,
    TROUBLE_CALLS,
    TROUBLE_MINUTES,
)
from foundry_rollouts.core.judging.estimate import plausible
from foundry_rollouts.core.judging.one_armed import CeilingProcess, alarmed

Minute = tuple[int, int]  # calls and failures


@dataclass(frozen=True, slots=True)
class SharedTrouble:
    """The evidence of one stratum that stable fails above twice its rate of before, and 2 points more."""

    before: float | None = None  #: What it failed at when all was well; None: not known yet.
    process: CeilingProcess = CeilingProcess()
    minutes: tuple[Minute, ...] = ((0, 0),)  #: Stable's calls and failures of the last minutes, the present one last.
    clock: float = 0.0  #: Seconds into the present minute.
    learnt: Minute = (0, 0)  #: Stable's calls in calm times of this step.
    is_firm: bool = False  #: Enough is known of what is normal: it stays as it is until the next step.

    @property
    def log(self) -> float:
        """The evidence, as a natural logarithm."""
        return self.process.log

    @property
    def recent(self) -> float | None:
        """What stable failed at in the last five minutes; None where nothing was heard of it."""
        calls, failures = self._heard
        return failures / calls if calls else None

    @property
    def _heard(self) -> Minute:
        calls, failures = (sum(each) for each in zip(*self.minutes, strict=True))
        return calls, failures

    @property
    def is_over(self) -> bool:
        """Whether stable fails no more than it may, over the last five minutes since it began.

        One minute is the least, and what is heard in it has to be enough to tell. A stratum that hears nothing for five
        minutes keeps nobody waiting: that it is silent is a verdict of its own.
        """
        calls, failures = self._heard
        begun, is_long = len(self.minutes) > 1, len(self.minutes) >= TROUBLE_MINUTES
        if self.before is None:
            return True
        if not begun or (calls < TROUBLE_CALLS and not is_long):
            return False
        return failures <= TROUBLE.of(self.before) * calls

    def after(self, tally: Tally, seconds: float, *, is_on: bool, cluster: float) -> "SharedTrouble":
        """Return it after one more interval.

        What is normal is learnt from intervals that raise no suspicion: more and more finely, until enough is known.
        """
        calls, failures = tally.stable_calls, tally.stable_failures
        later = self._later(calls, failures, seconds)
        if self.before is not None:
            limit = min(TROUBLE.of(self.before), 1.0)
            alone = Tally(calls, failures)
            later = replace(later, process=alarmed(self.process, limit, alone, seconds, cluster))
        if is_on or later.log > EVEN:
            return later
        learnt = self.learnt[0] + calls, self.learnt[1] + failures
        if self.is_firm:
            return replace(later, learnt=learnt)
        return replace(later, learnt=learnt, before=_normal(learnt), is_firm=learnt[0] >= FIRM_CALLS)

    def _later(self, calls: int, failures: int, seconds: float) -> "SharedTrouble":
        *old, (had, failed) = self.minutes
        elapsed = self.clock + seconds
        past = math.floor(elapsed / MINUTE + 1e-9)
        new = ((0, 0),) * min(past, TROUBLE_MINUTES)
        minutes = (*old, (had + calls, failed + failures), *new)[-TROUBLE_MINUTES:]
        return replace(self, minutes=minutes, clock=elapsed - past * MINUTE)

    def begun(self) -> "SharedTrouble":
        """Return it as the trouble begins: from here on the minutes count that tell when it is over."""
        return replace(self, minutes=((0, 0),), clock=0.0)

    def ended(self) -> "SharedTrouble":
        """Return it with the evidence begun anew, as the trouble is over."""
        return replace(self, process=CeilingProcess())

    def at_new_weight(self) -> "SharedTrouble":
        """Return it for a new step, which goes by what stable failed at in the step before, where that was enough."""
        anew = replace(self, process=CeilingProcess())
        if self.learnt[0] < FIRM_CALLS:
            return anew
        return replace(anew, before=_normal(self.learnt), is_firm=True, learnt=(0, 0))


def _normal(learnt: Minute) -> float | None:
    """Return what stable fails at in calm times, rather too much; None where too little was heard of it."""
    calls, failures = learnt
    few = CALM_FAILURES
    return plausible((failures + few) / (calls + few)) if calls >= CALM_CALLS else None


def begin_trouble(history: Tally | None) -> SharedTrouble:
    """Return it before the first interval; ``history`` is what is known of stable from before."""
    if history is None or history.stable_calls < CALM_HISTORY:
        return SharedTrouble()
    return SharedTrouble(before=plausible(history.stable_failures / history.stable_calls), is_firm=True)
