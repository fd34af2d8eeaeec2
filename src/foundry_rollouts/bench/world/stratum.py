"""All that is bet on the calls of one stratum (``core/judging/stakes.py``), for many runs at once."""

import math
from dataclasses import dataclass

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints, no_counts
from foundry_rollouts.bench.bets import alone_gains, harm_gains, ladder_gains, past_gains, safe_gains
from foundry_rollouts.bench.capital import Capitals
from foundry_rollouts.bench.estimate import Batches, Estimates
from foundry_rollouts.bench.processes import SAFE_AT_START, log_sum
from foundry_rollouts.bench.streams import KNOWN_CALLS
from foundry_rollouts.bench.waiting import Waiting
from foundry_rollouts.bench.world.laws import Plan
from foundry_rollouts.core.judging.constants import EVEN, GUARD, SAFE_POSITIONS, STRICT, WARM_PART, WARM_POINTS
from foundry_rollouts.core.model.policy import Margin

_WARM = Margin(1.0, WARM_POINTS)
_CLAIMS = len(SAFE_POSITIONS)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an interval beside its counts; a place for each run."""

    seconds: float
    is_warm: Bools  #: The canary's sandboxes are new.
    is_troubled: Bools  #: Both versions are in trouble.
    has_all_traffic: Bools
    settle: Ints  #: Ticks until all of its calls are known.
    cluster: Floats  #: So many calls fail together.

    def __getitem__(self, places: Ints) -> "Seen":
        return Seen(
            self.seconds,
            self.is_warm[places],
            self.is_troubled[places],
            self.has_all_traffic[places],
            self.settle[places],
            self.cluster[places],
        )


class Stratum:
    """The evidence of one source; safety rests on intervals that are as old as they must be (``settle``)."""

    def __init__(
        self, runs: int, plan: Plan, known: Floats | None, ladder: tuple[float, ...] = (), *, is_guarded: bool = True
    ) -> None:
        self.plan, self.is_guarded, self._margins = plan, is_guarded, ladder
        laws = plan.laws
        self.guess = Estimates(runs, known, KNOWN_CALLS, forgets=laws.forgets)
        self._batches = Batches(runs, self.guess, laws.waits_at_most)
        self._warm_waiting = Waiting(runs, laws.waits_at_most)
        self.main, self.pot = Capitals(runs), Capitals(runs)
        self.strict, self.ceiling, self.guard = Capitals(runs), Capitals(runs), Capitals(runs)
        self.past = self.guess.known(np.arange(runs))  #: What stable failed at when the step began.
        self._safe = np.full((runs, _CLAIMS), SAFE_AT_START)
        self._by_past = np.full((runs, _CLAIMS), SAFE_AT_START)
        self._ladder = np.zeros((runs, len(ladder)))
        rooms = round(laws.settle / plan.tick) + 1
        self._coming = np.zeros((runs, rooms, _CLAIMS + len(ladder)))
        self._turn = 0
        self.at_step = no_counts(runs)

    def reweigh(self, at: Ints) -> None:
        """Begin a step at another weight."""
        for capital in (self.main, self.strict, self.pot):
            capital.at_new_weight(at)
        if self.plan.laws.restarts_ceiling:
            self.ceiling.restart(at)
        self.guard.restart(at)
        self._ladder[at] += self._coming[at, :, _CLAIMS:].sum(axis=1)
        self._safe[at] = self._by_past[at] = SAFE_AT_START
        self._coming[at] = 0.0
        self._batches.drop(at)
        self._warm_waiting.drop(at)
        self.at_step.put(at, no_counts(len(at)))
        known = self.guess.known(at) if not self.plan.laws.bakes else self.guess.rate(at)
        self.past[at] = np.where(np.isnan(known), self.past[at], known)

    def observe(self, at: Ints, counts: Counts, seen: Seen) -> None:
        """Take in one interval."""
        self.at_step.put(at, self.at_step[at] + counts)
        before = self.guess.rate(at)
        places, batch, guess = self._batches.join(at, counts, seen.seconds)
        self._coming[at, self._turn % self._coming.shape[1]] = 0.0
        if places.size:
            self._bet(at, places, batch, guess, seen)
        self._settle(at, seen.settle)
        if self.plan.laws.warm_up:
            self._warm(at, counts, before, seen)
        self._bet_alone(at, counts, seen)
        for capital in (self.main, self.strict):
            capital.later(at, seen.seconds)

    def harm(self, at: Ints) -> Floats:
        main = self.main.log(at)
        if not self.plan.laws.warm_up:
            return main
        both: Floats = np.logaddexp(math.log(1 - WARM_PART) + main, math.log(WARM_PART) + self.pot.log(at))
        return both

    def safe(self, at: Ints) -> Floats:
        return log_sum(self._safe[at])

    def safe_by_past(self, at: Ints) -> Floats:
        """Return the evidence by stable's past alone, as before 100 was a bake; none where the past is unknown."""
        return np.where(np.isnan(self.past[at]), -np.inf, log_sum(self._by_past[at]))

    def at_most_worse(self, at: Ints, missed_bad: float) -> Floats:
        proved = self._ladder[at] >= -math.log(missed_bad)
        smallest: Floats = np.where(proved, np.array(self._margins), np.inf).min(axis=1, initial=np.inf)
        return smallest

    def _bet(self, at: Ints, places: Ints, batch: Counts, guess: Floats, seen: Seen) -> None:
        used = ~seen.is_warm[places]
        places, batch, guess = places[used], batch[used], guess[used]
        if not places.size:
            return
        where, plan, times = at[places], self.plan, 1 / seen.cluster[places][:, None]
        self.main.staked[where] += times * harm_gains(plan.tolerate, guess, batch)
        if plan.ceiling is not None:
            self.strict.staked[where] += times * harm_gains(STRICT, guess, batch)
        calm = ~seen.is_troubled[places][:, None]
        coming = [np.where(calm, times * safe_gains(plan.bad, guess, batch), 0.0)]
        coming += [times * ladder_gains(margin, guess, batch)[:, None] for margin in self._margins]
        self._coming[where, self._turn % self._coming.shape[1]] = np.concatenate(coming, axis=1)

    def _settle(self, at: Ints, settle: Ints) -> None:
        """Let count for safety what is old enough now: ``settle`` ticks."""
        came = self._coming[at, (self._turn - settle) % self._coming.shape[1]]
        self._safe[at] += came[:, :_CLAIMS]
        self._ladder[at] += came[:, _CLAIMS:]
        self._coming[at, (self._turn - settle) % self._coming.shape[1]] = 0.0
        self._turn += 1

    def _warm(self, at: Ints, counts: Counts, guess: Floats, seen: Seen) -> None:
        """Bet on a canary that warms up; afterwards too, until nothing speaks against it."""
        bets = np.flatnonzero(seen.is_warm | (self.pot.log(at) > EVEN))
        some = at[bets]
        is_batch, batch = self._warm_waiting.join(some, counts[bets])
        if is_batch.any():
            won = harm_gains(_WARM, guess[bets][is_batch][:, None], batch)
            self.pot.staked[some[is_batch]] += won / seen.cluster[bets][is_batch][:, None]
        self.pot.later(some, seen.seconds)

    def _bet_alone(self, at: Ints, counts: Counts, seen: Seen) -> None:
        plan, cold = self.plan, np.flatnonzero(~seen.is_warm)
        if plan.ceiling is not None:
            some, mine = at[cold], counts[cold]
            won = alone_gains(np.full(len(some), plan.ceiling), mine.canary_calls, mine.canary_failures)
            self.ceiling.staked[some] += won / seen.cluster[cold][:, None]
            self.ceiling.later(some, seen.seconds)
        full = np.flatnonzero(seen.has_all_traffic)
        if not full.size:
            return
        some, mine = at[full], counts[full]
        if self.is_guarded and plan.laws.bakes:
            points = np.where(seen.is_warm[full], max(GUARD.points, WARM_POINTS), GUARD.points)
            limit = np.minimum(GUARD.ratio * self.past[some] + points, 1.0)
            won = alone_gains(limit, mine.canary_calls, mine.canary_failures)
            self.guard.flow(some, seen.seconds)
            self.guard.staked[some] += won / seen.cluster[full][:, None]
        elif not plan.laws.bakes:
            self._by_past[some] += past_gains(plan.bad, self.past[some], mine.canary_calls, mine.canary_failures)
