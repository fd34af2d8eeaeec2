"""The verdict (``core/judging/judge.py``), for many runs at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.world.late import LateStratum
from foundry_rollouts.bench.world.laws import Plan
from foundry_rollouts.bench.world.stratum import Seen, Stratum
from foundry_rollouts.bench.world.trouble import Spreads, Troubles
from foundry_rollouts.core.judging.constants import EVEN, GUARD_ODDS, TROUBLE_ODDS

Late = Sequence[tuple[int, Counts]]  #: Calls by how many ticks ago they began.

#: Nothing speaks for harm; a hair above 1 is rounding.
QUIET = EVEN + 1e-9
#: Before 100 was a bake: one stable call among more canary calls than this was a straggler.
_FEW = 50


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the judge says of the runs that were asked about."""

    fails: Bools
    harm: Floats
    is_quiet: Bools
    is_proved: Bools
    is_troubled: Bools
    is_suspect: Bools  #: Stable may be failing more than before.
    goes_back: Bools


@dataclass(slots=True)
class Standing:
    """The runs that are judged, and how they stand."""

    at: Ints
    weight: Floats
    is_warm: Bools
    settle: Ints  #: Ticks.

    @property
    def has_all_traffic(self) -> Bools:
        is_so: Bools = self.weight == 100
        return is_so


@dataclass(slots=True)
class WorldJudge:
    """Users and, where the policy has one, the probe: equal parts of one gate."""

    runs: int
    plan: Plan
    known: list[Floats | None]
    ladder: tuple[float, ...] = ()
    is_late: bool = False  #: Users' calls may be reported late.
    strata: list[Stratum] = field(init=False)
    is_troubled: Bools = field(init=False)
    _troubles: list[Troubles] = field(init=False)
    _spreads: list[Spreads] = field(init=False)

    def __post_init__(self) -> None:
        self.strata = [
            (LateStratum if self.is_late and place == 0 else Stratum)(
                self.runs, self.plan, known, self.ladder, is_guarded=place == 0
            )
            for place, known in enumerate(self.known)
        ]
        self._troubles = [Troubles(self.runs, known) for known in self.known]
        self._spreads = [Spreads(self.runs, self.plan.laws.cluster if place == 0 else 1.0) for place in range(2)]
        self.is_troubled = np.zeros(self.runs, dtype=np.bool_)

    def reweigh(self, at: Ints) -> None:
        for stratum, trouble in zip(self.strata, self._troubles, strict=True):
            stratum.reweigh(at)
            trouble.at_new_weight(at)
            if self.plan.laws.bakes and self.plan.laws.holds_in_trouble:
                stratum.past[at] = np.fmin(stratum.past[at], trouble.before[at])

    def observe(self, asked: Standing, counts: list[Counts], late: Late = ()) -> Verdicts:
        """Take in what each stratum counted in one interval, and ``late`` calls of users, and judge."""
        for place, seen in enumerate(counts):
            self._take_in(asked, place, seen)
        for ago, seen in late:
            self._hear(asked, ago, seen)
        if self.plan.laws.holds_in_trouble:
            self._note_trouble(asked.at)
        return self._judged(asked)

    def _take_in(self, asked: Standing, place: int, counts: Counts) -> None:
        at, seconds, stratum = asked.at, self.plan.tick, self.strata[place]
        is_on = self.is_troubled[at]
        spread = self._spreads[place]
        # What is learnt from an interval has no say in the bets on it.
        asked_of_it = self._seen(asked, place)
        if self.plan.laws.holds_in_trouble:
            self._troubles[place].observe(at, counts, seconds, is_on, spread.cluster(at))
        calm = np.flatnonzero(~is_on)
        spread.observe(at[calm], counts[calm], stratum.guess.rate(at[calm]), seconds)
        stratum.observe(at, counts, asked_of_it)

    def _hear(self, asked: Standing, ago: int, counts: Counts) -> None:
        users = self.strata[0]
        if self.plan.laws.holds_in_trouble:
            is_on, cluster = self.is_troubled[asked.at], self._spreads[0].cluster(asked.at)
            self._troubles[0].observe(asked.at, counts, 0.0, is_on, cluster)
        if isinstance(users, LateStratum):
            users.hear(asked.at, counts, ago, self._seen(asked, 0))

    def _seen(self, asked: Standing, place: int) -> Seen:
        at, cluster = asked.at, self._spreads[place].cluster(asked.at)
        return Seen(self.plan.tick, asked.is_warm, self.is_troubled[at], asked.has_all_traffic, asked.settle, cluster)

    def _note_trouble(self, at: Ints) -> None:
        was = self.is_troubled[at]
        begins = ~was & (self.trouble(at) >= math.log(TROUBLE_ODDS))
        ends = was & np.all([each.is_over(at) for each in self._troubles], axis=0)
        for each in self._troubles:
            each.capital.restart(at[ends])
            each.begin(at[begins])
        self.is_troubled[at] = (was & ~ends) | begins

    def trouble(self, at: Ints) -> Floats:
        """Return the evidence that stable fails more than before: users' calls and the probe's are different ones."""
        total: Floats = np.sum([each.capital.log(at) for each in self._troubles], axis=0)
        return total

    def harm(self, at: Ints) -> Floats:
        return self._mean([each.harm(at) for each in self.strata])

    def safe(self, asked: Standing) -> Floats:
        at, laws = asked.at, self.plan.laws
        logs = [each.safe(at) for each in self.strata]
        if not laws.bakes:
            alone = [asked.has_all_traffic & self._is_left_alone(at, each) for each in self.strata]
            pairs = zip(logs, alone, self.strata, strict=True)
            logs = [np.where(is_alone, each.safe_by_past(at), log) for log, is_alone, each in pairs]
        return np.asarray(np.sum(logs, axis=0)) if laws.multiplies else self._mean(logs)

    def at_most_worse(self, at: Ints) -> Floats:
        missed = self.plan.missed_bad / len(self.strata)
        worse: Floats = np.min([each.at_most_worse(at, missed) for each in self.strata], axis=0)
        return worse

    def _judged(self, asked: Standing) -> Verdicts:
        at, laws, enough = asked.at, self.plan.laws, -math.log(self.plan.false_rollback)
        harm = self.harm(at)
        fails = (harm >= enough) | (self._breach(asked) >= enough)
        is_proved = self.safe(asked) >= -math.log(self.plan.missed_bad)
        is_full, goes_back, is_quiet = asked.has_all_traffic, np.zeros(len(at), dtype=np.bool_), harm <= QUIET
        if laws.bakes:
            is_calm = self._is_calm(at)
            is_proved, is_quiet = np.where(is_full, is_calm, is_proved), np.where(is_full, is_calm, is_quiet)
            goes_back = is_full & (self._guarded(at) >= math.log(GUARD_ODDS))
        is_suspect = self.trouble(at) > QUIET if laws.holds_in_trouble else np.zeros(len(at), dtype=np.bool_)
        return Verdicts(fails, harm, is_quiet, is_proved, self.is_troubled[at].copy(), is_suspect, goes_back)

    def _mean(self, logs: list[Floats]) -> Floats:
        total: Floats = np.logaddexp.reduce(np.array(logs), axis=0) - math.log(len(logs))
        return total

    def _breach(self, asked: Standing) -> Floats:
        """Return the evidence of a broken ceiling; a stratum without stable calls borrows another's comparison."""
        at, laws = asked.at, self.plan.laws
        if self.plan.ceiling is None:
            return np.full(len(at), -np.inf)
        ceilings = [each.ceiling.log(at) for each in self.strata]
        stricts = [each.strict.log(at) for each in self.strata]
        if not laws.restarts_ceiling:
            alone = [asked.has_all_traffic & self._is_left_alone(at, each) for each in self.strata]
            rows = zip(ceilings, stricts, alone, strict=True)
            return self._mean([np.where(one, above, np.minimum(above, worse)) for above, worse, one in rows])
        compares = [each.at_step.stable_calls[at] > 0 for each in self.strata]
        borrowed = _mean_where(stricts, compares)
        rows = zip(ceilings, stricts, compares, strict=True)
        return self._mean([np.minimum(above, np.where(one, worse, borrowed)) for above, worse, one in rows])

    def _guarded(self, at: Ints) -> Floats:
        nothing = np.full(len(at), -np.inf)
        has_none = ~np.any([each.at_step.stable_calls[at] > 0 for each in self.strata], axis=0)
        said = []
        for stratum in self.strata:
            guard = stratum.guard.log(at) if stratum.is_guarded else nothing
            ceiling = stratum.ceiling.log(at) if self.plan.ceiling is not None else nothing
            said.append(np.maximum(guard, np.where(has_none, ceiling, -np.inf)))
        return self._mean(said)

    def _is_calm(self, at: Ints) -> Bools:
        """Return where nothing speaks against a canary with all traffic: the comparison, or else the guard."""
        calm = np.ones(len(at), dtype=np.bool_)
        for stratum in self.strata:
            guard = stratum.guard.log(at) <= QUIET if stratum.is_guarded else np.ones(len(at), dtype=np.bool_)
            calm &= np.where(stratum.at_step.stable_calls[at] > 0, stratum.harm(at) <= QUIET, guard)
        return calm

    def _is_left_alone(self, at: Ints, stratum: Stratum) -> Bools:
        seen = stratum.at_step[at]
        is_so: Bools = _FEW * seen.stable_calls <= seen.canary_calls
        return is_so


def _mean_where(logs: list[Floats], counted: list[Bools]) -> Floats:
    """Return the mean over those that count; none at all where nothing does."""
    some = np.sum(counted, axis=0)
    total = np.logaddexp.reduce(np.where(np.array(counted), np.array(logs), -np.inf), axis=0)
    mean: Floats = np.where(some > 0, total - np.log(np.maximum(some, 1)), -np.inf)
    return mean
