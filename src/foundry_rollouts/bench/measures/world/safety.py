"""Called safe by mistake: a canary on the bad line, at one weight below 100 until the deadline (10.8)."""

import math
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Floats, Ints
from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.measures.world.trial import NAME, Part, Row
from foundry_rollouts.bench.report import Goal, Options, Result, percent
from foundry_rollouts.bench.streams import BAD_LINE, KNOWN_CALLS
from foundry_rollouts.bench.world.judge import QUIET, Standing, WorldJudge
from foundry_rollouts.bench.world.laws import Laws, Plan
from foundry_rollouts.bench.world.scene import drawn

CELLS = tuple(product((0.001, 0.01, 0.05), (0.5, 2.0, 20.0), (10, 50)))
PLAN = Plan(laws=Laws(settle=0.0, warm_up=0.0), ceiling=None)
MOST, MOST_ON_AVERAGE = 0.05, 0.04
WAYS = ("averaged", "multiplied")


@dataclass(slots=True)
class Watch:
    """Canaries on the bad line, so many of each cell, until they are reported from good ones or called safe."""

    runs: int
    dice: np.random.Generator
    judge: WorldJudge = field(init=False)
    called: dict[str, Bools] = field(init=False)
    _is_over: Bools = field(init=False)
    _base: Floats = field(init=False)
    _traffic: Floats = field(init=False)
    _weight: Floats = field(init=False)

    def __post_init__(self) -> None:
        self._base, self._traffic, self._weight = np.repeat(np.array(CELLS), self.runs, axis=0).T
        everyone = len(self._base)
        known: list[Floats | None] = [self.dice.binomial(KNOWN_CALLS, self._base).astype(float) for _ in range(2)]
        self.judge = WorldJudge(everyone, PLAN, known)
        self.called = {way: np.zeros(everyone, dtype=np.bool_) for way in WAYS}
        self._is_over = np.zeros(everyone, dtype=np.bool_)

    def tick(self) -> int:
        """Let one interval pass; return how many are still watched."""
        at = np.flatnonzero(~self._is_over)
        bad = PLAN.bad.ratio * self._base[at] + PLAN.bad.points
        calls = self.dice.poisson(self._traffic[at] * PLAN.tick)
        canary = self.dice.binomial(calls, self._weight[at] / 100)
        pairs = np.full(len(at), PLAN.pairs)
        counts = [
            drawn(mine, others, bad, self._base[at], self.dice)
            for mine, others in ((canary, calls - canary), (pairs, pairs))
        ]
        never, at_once = np.zeros(len(at), dtype=np.bool_), np.zeros(len(at), dtype=np.int64)
        seen = self.judge.observe(Standing(at, self._weight[at], never, at_once), counts)
        self._note(at, seen.harm)
        return len(at)

    def _note(self, at: Ints, harm: Floats) -> None:
        logs = [each.safe(at) for each in self.judge.strata]
        enough = -math.log(PLAN.missed_bad)
        quiet = harm <= QUIET
        self.called["multiplied"][at] |= quiet & (np.sum(logs, axis=0) >= enough)
        self.called["averaged"][at] |= quiet & (np.logaddexp(*logs) - math.log(2) >= enough)
        is_told = harm >= -math.log(PLAN.false_rollback)
        self._is_over[at] = is_told | (self.called["multiplied"][at] & self.called["averaged"][at])


def safety(options: Options) -> Part:
    """Return how often the cells of the grid are called safe, evidence averaged over users and probe, or multiplied."""
    watch = Watch(options.runs, options.dice(NAME, "10.8"))
    ticks = round(PLAN.deadline / PLAN.tick)
    for number in range(ticks):
        if not watch.tick():
            break
        options.progress("10.8", (number + 1) / ticks)
    options.progress("10.8", 1.0)
    hits = {way: watch.called[way].reshape(len(CELLS), options.runs).sum(axis=1) for way in WAYS}
    part = Part()
    for place, (base, traffic, weight) in enumerate(CELLS):
        name = f"on the bad line, {traffic:g} a second, stable fails {percent(base)}, weight {weight}"
        said = {way: _said(int(hits[way][place]), options.runs) for way in WAYS}
        part.rows.append(Row("10.8", name, "called safe", said["averaged"], said["multiplied"]))
        part.results += [
            Result(
                NAME, f"10.8: {way}", traffic, base, BAD_LINE, name, "exact", options.runs, weight=int(weight),
                called_safe=int(hits[way][place]) / options.runs,
                called_safe_at_most=upper_bound(int(hits[way][place]), options.runs),
            )
            for way in WAYS
        ]  # fmt: skip
    return Part(part.rows, part.results, _goals(hits["multiplied"] / options.runs, options.runs))


def _said(hits: int, runs: int) -> str:
    return f"{percent(hits / runs)} (at most {percent(upper_bound(hits, runs))})"


def _goals(parts: Floats, runs: int) -> list[Goal]:
    worst, mean = float(parts.max()), float(parts.mean())
    # Of eighteen cells at the promised share one lies so far above it by chance, now and then.
    noise = 2 * math.sqrt(MOST * (1 - MOST) / runs)
    return [
        Goal("10.8: called safe on the bad line, worst cell", f"<= 5% (+ {percent(noise)} of noise)",
             percent(worst), worst <= MOST + noise),
        Goal("10.8: called safe on the bad line, mean", "<= 4%", percent(mean), mean <= MOST_ON_AVERAGE),
    ]  # fmt: skip
