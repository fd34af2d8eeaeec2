"""All that is bet on the calls of one gate as one source sees them, and how an interval moves it."""

import math
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import EProcess, Hypotheses, Use, observed, reweighted
from foundry_rollouts.core.judging.constants import EVEN, STRICT, WARM_PART, WARM_POINTS
from foundry_rollouts.core.judging.estimate import StableEstimate
from foundry_rollouts.core.judging.logarithms import log_mean, log_sum
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard, begin_floor, observed_floor
from foundry_rollouts.core.model.policy import Margin


@dataclass(frozen=True, slots=True)
class Interval:
    """What was counted of the calls that began in one interval: a tally for each process."""

    end: datetime
    seconds: float
    tallies: tuple[Tally, ...]
    is_warm: bool = False  #: The canary's sandboxes were new.
    is_troubled: bool = False  #: Both versions were in trouble: nothing is proved.
    is_part: bool = False  #: It ended early, for a failure was reported: the next window belongs to it.

    @property
    def use(self) -> Use:
        if self.is_warm:
            return Use.NONE
        return Use.TROUBLED if self.is_troubled else Use.ALL

    def going_on(self, later: "Interval") -> "Interval":
        """Return the interval with the window that belongs to it."""
        both = self.with_late(later.tallies)
        is_troubled = self.is_troubled or later.is_troubled
        return replace(both, end=later.end, seconds=self.seconds + later.seconds, is_troubled=is_troubled)

    def with_late(self, tallies: tuple[Tally, ...]) -> "Interval":
        """Return the interval with calls that were heard of later."""
        return replace(self, tallies=tuple(one + other for one, other in zip(self.tallies, tallies, strict=True)))


@dataclass(frozen=True, slots=True)
class Terms:
    """What the bets of one gate go by."""

    bets: Hypotheses
    max: float | None = None  #: The ceiling of the gate.
    has_all_traffic: bool = False  #: Nobody is left to compare with: the guard bets.
    calm: float | None = None  #: What stable failed at in calm times, where that is known.


@dataclass(frozen=True, slots=True)
class Stakes:
    """The evidence of one gate from one source, of all kinds."""

    processes: tuple[EProcess, ...]
    strict: EProcess | None = None  #: With a ceiling: harm without any tolerance.
    ceiling: CeilingProcess | None = None  #: With a ceiling: the canary alone against it.
    pot: EProcess | None = None  #: Harm while the canary warms up, beyond 25 points; None: it need not.
    guard: Guard | None = None  #: Harm at 100, where there is nothing to compare with; None: not there yet.

    @property
    def harm_log(self) -> float:
        """The evidence that the canary is worse than tolerated; a part of it is the pot's."""
        harm = log_mean(process.harm_log for process in self.processes)
        if self.pot is None:
            return harm
        return log_sum((math.log(1 - WARM_PART) + harm, math.log(WARM_PART) + self.pot.harm_log))


def bet(stakes: Stakes, terms: Terms, seen: Interval) -> Stakes:
    """Return ``stakes`` after one more interval."""
    main, seconds, cluster = seen.tallies[0], seen.seconds, terms.bets.cluster
    strict, ceiling, guard = stakes.strict, stakes.ceiling, stakes.guard
    if strict is not None:
        strict = observed(strict, Hypotheses(STRICT, terms.bets.bad, cluster), main, seconds, seen.use)
    if ceiling is not None and terms.max is not None and not seen.is_warm:
        ceiling = observed_floor(ceiling, terms.max, main, seconds, cluster)
    if terms.has_all_traffic:
        guard = guard or _guard(stakes.processes[0].guess, terms.calm)
        guard = guard.after(main, seconds, is_warm=seen.is_warm, cluster=cluster)
    return Stakes(
        processes=tuple(
            observed(process, terms.bets, tally, seconds, seen.use)
            for process, tally in zip(stakes.processes, seen.tallies, strict=True)
        ),
        strict=strict,
        ceiling=ceiling,
        pot=_pot(stakes, terms, seen),
        guard=guard,
    )


def _guard(guess: StableEstimate, calm: float | None) -> Guard:
    past = guess.rate if calm is None else min(guess.rate, calm)
    return Guard(past, is_known=guess.known is not None)


def _pot(stakes: Stakes, terms: Terms, seen: Interval) -> EProcess | None:
    """Return the pot after an interval; after the warm-up it bets on until nothing speaks against the canary."""
    if stakes.pot is None or not (seen.is_warm or stakes.pot.harm_log > EVEN):
        return stakes.pot
    pot = replace(stakes.pot, guess=stakes.processes[0].guess)
    line = Hypotheses(Margin(1.0, WARM_POINTS), terms.bets.bad, terms.bets.cluster)
    return observed(pot, line, seen.tallies[0], seen.seconds)


def restaked(stakes: Stakes) -> Stakes:
    """Return ``stakes`` with which a step at another weight begins: each step earns its own proof."""
    return Stakes(
        processes=tuple(reweighted(process) for process in stakes.processes),
        strict=reweighted(stakes.strict) if stakes.strict else None,
        ceiling=begin_floor() if stakes.ceiling else None,
        pot=reweighted(stakes.pot) if stakes.pot else None,
    )
