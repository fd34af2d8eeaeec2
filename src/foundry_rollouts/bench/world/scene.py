"""What happens to rollouts in a scene, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.simulate import ROLLED_BACK, RUNNING
from foundry_rollouts.bench.streams import KNOWN_CALLS
from foundry_rollouts.bench.world.automatic import AutomaticPilot
from foundry_rollouts.bench.world.judge import Late, WorldJudge
from foundry_rollouts.bench.world.laws import HOUR, Plan
from foundry_rollouts.bench.world.pilot import PROMOTED, WorldPilot
from foundry_rollouts.core.judging.constants import GROSS, LADDER


@dataclass(frozen=True, slots=True)
class Moment:
    """How the runs ``at`` stand as an interval begins; ``since`` counts seconds by the wall."""

    now: float
    at: Ints
    weight: Floats
    since_step: Floats
    since_half: Floats  #: Since the canary first had half of the traffic; negative before.
    since_full: Floats  #: Since it first had all of it; negative before.

    def everywhere(self, rate: float) -> Floats:
        return np.full(len(self.at), rate)


Rates = Callable[[Moment], tuple[Floats, Floats]]  #: What fails on the canary, and on stable.
Calls = Callable[[Moment, Floats, np.random.Generator], tuple[Counts, Late]]


@dataclass(frozen=True, slots=True)
class Scene:
    """The traffic, what fails, and who is heard."""

    traffic: float  #: Calls of users a second.
    rates: Rates
    history: float | None = 0.01  #: What stable failed at before, by 500 calls; None: nothing is known.
    hears: Callable[[Moment], tuple[Bools, Bools]] | None = None  #: Whether canary and stable are heard of users.
    probe: Callable[[Moment, int], Counts] | None = None  #: The probe's counts, for so many pairs; None: by ``rates``.
    users: Callable[[Moment], tuple[Counts, Late]] | None = None  #: None: by ``traffic`` and ``rates``.
    watches: Callable[[Moment], Bools] | None = None  #: When a raise is one too many.
    until: float = 12 * HOUR
    is_late: bool = False


@dataclass(slots=True)
class Seen:
    """What came of the runs."""

    pilot: WorldPilot
    ended_at: Floats
    harm: Floats  #: Failures that the canary caused.
    rose: Bools  #: It rose while the scene watched.

    @property
    def is_rolled_back(self) -> Bools:
        is_so: Bools = self.pilot.ended == ROLLED_BACK
        return is_so

    @property
    def is_promoted(self) -> Bools:
        is_so: Bools = self.pilot.ended == PROMOTED
        return is_so

    @property
    def minutes(self) -> float:
        """Return the median of the time until the promotion; endless where most came to another end."""
        return float(np.median(np.where(self.is_promoted, self.ended_at, np.inf))) / 60


@dataclass(slots=True)
class _Clock:
    """When each run came to where it stands."""

    runs: int
    step: Floats = field(init=False)
    half: Floats = field(init=False)
    full: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.step, self.half, self.full = np.zeros(self.runs), *np.full((2, self.runs), np.inf)

    def moment(self, now: float, at: Ints, weight: Floats) -> Moment:
        self.half[at] = np.where(weight >= 50, np.minimum(self.half[at], now), self.half[at])
        self.full[at] = np.where(weight >= 100, np.minimum(self.full[at], now), self.full[at])
        return Moment(now, at, weight, now - self.step[at], now - self.half[at], now - self.full[at])


def pilot_of(plan: Plan, runs: int, known: list[Floats | None], *, is_late: bool = False) -> WorldPilot:
    """Return what leads ``runs`` rollouts under ``plan``."""
    is_automatic = plan.blast_radius is not None
    ladder = LADDER if is_automatic else (GROSS,) if plan.goes_on_if_not_gross else ()
    judge = WorldJudge(runs, plan, known, ladder, is_late)
    return AutomaticPilot(runs, plan, judge) if is_automatic else WorldPilot(runs, plan, judge)


def lead(scene: Scene, plan: Plan, runs: int, dice: np.random.Generator) -> Seen:
    """Lead ``runs`` rollouts through the scene, until all have ended."""
    strata = 2 if plan.pairs else 1
    known: list[Floats | None] = [None] * strata
    if scene.history is not None:
        known = [dice.binomial(KNOWN_CALLS, scene.history, size=runs).astype(np.float64) for _ in range(strata)]
    pilot, clock = pilot_of(plan, runs, known, is_late=scene.is_late), _Clock(runs)
    seen = Seen(pilot, np.full(runs, np.inf), np.zeros(runs), np.zeros(runs, dtype=np.bool_))
    now = 0.0
    while now < scene.until and (at := np.flatnonzero(pilot.ended == RUNNING)).size:
        moment = clock.moment(now, at, pilot.weight(at))
        counts, late = _counted(scene, plan, moment, seen, dice)
        moved = pilot.tick(at, counts, late)
        if scene.watches is not None:
            rose = moved[pilot.weight(moved) > moment.weight[np.searchsorted(at, moved)]]
            seen.rose[rose] |= scene.watches(moment)[np.searchsorted(at, rose)]
        now += plan.tick
        clock.step[moved] = now
        seen.ended_at[at[pilot.ended[at] != RUNNING]] = now
    return seen


def _counted(
    scene: Scene, plan: Plan, moment: Moment, seen: Seen, dice: np.random.Generator
) -> tuple[list[Counts], Late]:
    canary, stable = scene.rates(moment)
    late: Late = ()
    if scene.users is not None:
        users, late = scene.users(moment)
    else:
        calls = dice.poisson(scene.traffic * plan.tick, size=len(moment.at))
        mine = dice.binomial(calls, moment.weight / 100)
        users = drawn(mine, calls - mine, canary, stable, dice)
        seen.harm[moment.at] += mine * np.maximum(canary - stable, 0.0)
    if scene.hears is not None:
        hears_canary, hears_stable = scene.hears(moment)
        mask = np.stack([hears_canary, hears_canary, hears_stable, hears_stable], axis=1)
        users = Counts.of(users.rows * mask)
    if not plan.pairs:
        return [users], late
    pairs = np.full(len(moment.at), plan.pairs)
    probe = drawn(pairs, pairs, canary, stable, dice) if scene.probe is None else scene.probe(moment, plan.pairs)
    return [users, probe], late


def drawn(canary_calls: Ints, stable_calls: Ints, canary: Floats, stable: Floats, dice: np.random.Generator) -> Counts:
    """Return so many calls on each version, failing by chance."""
    return Counts(canary_calls, dice.binomial(canary_calls, canary), stable_calls, dice.binomial(stable_calls, stable))
