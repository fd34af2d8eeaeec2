"""The distance to Wald's bound: calls until harm is proved, over the calls that any test needs on average.

Calls come one at a time where few are needed, else so many at a time that the bound takes a hundred ticks, a second
each.
"""

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats
from foundry_rollouts.bench.bounds import calls_bound
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, chosen, number
from foundry_rollouts.bench.rules.sequential import TOLERATING_NOTHING
from foundry_rollouts.bench.streams import EFFECTS, STABLE_RATES, known_failures, worse
from foundry_rollouts.core.model.policy import Margin

NAME = "wald"
WEIGHTS, ALPHAS = (1, 10, 50), (1e-2, 1e-4, 1e-8)
_TICKS_OF_THE_BOUND, _AT_MOST_TICKS = 100, 3000


@dataclass(frozen=True, slots=True)
class _Cell:
    """One weight, one service, one effect; so many calls a tick."""

    weight: int
    stable: float
    effect: str

    @property
    def canary(self) -> float:
        return float(worse(self.effect, np.array([self.stable]))[0])

    def bound(self, alpha: float) -> float:
        return calls_bound(self.canary, self.stable, self.weight / 100, Margin(1.0), alpha)

    @property
    def calls(self) -> int:
        return max(1, int(self.bound(ALPHAS[0]) / _TICKS_OF_THE_BOUND))


def measure(options: Options) -> Report:
    """Wait for the evidence in every cell."""
    cells = [_Cell(*each) for each in product(WEIGHTS, STABLE_RATES, EFFECTS)]
    ticks = _ticks_needed(options, cells)
    results = []
    for place, cell in enumerate(cells):
        mine = ticks[:, place * options.runs : (place + 1) * options.runs]
        calls = (mine * cell.calls).mean(axis=1)
        results += [_result(options, cell, alpha, float(calls[row])) for row, alpha in enumerate(ALPHAS)]
    return Report(results, [_table(results)], _goals(results))


def _ticks_needed(options: Options, cells: list[_Cell]) -> Floats:
    """Return how many ticks each run takes, a row for each alpha."""
    dice, runs = options.dice(NAME), len(cells) * options.runs
    calls, weight = _each([c.calls for c in cells], options), _each([c.weight / 100 for c in cells], options)
    canary, stable = _each([c.canary for c in cells], options), _each([c.stable for c in cells], options)
    processes = VectorProcesses(runs, TOLERATING_NOTHING, (), known_failures(dice.spawn(1)[0], stable))
    ticks = np.full((len(ALPHAS), runs), np.nan)
    for tick in range(1, _AT_MOST_TICKS + 1):
        at = np.flatnonzero(np.isnan(ticks[-1]))
        if not at.size:
            break
        on_canary = dice.binomial(calls[at].astype(np.int64), weight[at])
        on_stable = calls[at].astype(np.int64) - on_canary
        failed, stable_failed = dice.binomial(on_canary, canary[at]), dice.binomial(on_stable, stable[at])
        processes.observe(at, Counts(on_canary, failed, on_stable, stable_failed), 1.0)
        harm = processes.harm(at)
        for row, alpha in enumerate(ALPHAS):
            is_first = (harm >= -math.log(alpha)) & np.isnan(ticks[row, at])
            ticks[row, at[is_first]] = tick
        options.progress(NAME, float((~np.isnan(ticks[-1])).mean()))
    return np.where(np.isnan(ticks), _AT_MOST_TICKS, ticks)


def _each(values: list[float] | list[int], options: Options) -> Floats:
    return np.repeat(np.array(values, dtype=np.float64), options.runs)


def _result(options: Options, cell: _Cell, alpha: float, calls: float) -> Result:
    empty = Result(NAME, f"ours, alpha {alpha:g}", None, cell.stable, cell.effect, "flat", "exact", options.runs)
    ratio = calls / cell.bound(alpha)
    return replace(empty, weight=cell.weight, ratio_to_bound=ratio)


def _table(results: list[Result]) -> Table:
    rows = []
    for weight in WEIGHTS:
        row = [str(weight)]
        for alpha in ALPHAS:
            ratios = _ratios(results, alpha, weight=weight)
            row.append(" / ".join(number(float(each)) for each in (ratios.min(), np.median(ratios), ratios.max())))
        rows.append(tuple(row))
    title = "Calls until harm is proved over Wald's bound, 15 cells a weight: least / median / most"
    return Table(title, ("weight", *(f"alpha {alpha:g}" for alpha in ALPHAS)), rows)


def _ratios(results: list[Result], alpha: float, **wanted: object) -> Floats:
    return np.array([each.ratio_to_bound for each in chosen(results, rule=f"ours, alpha {alpha:g}", **wanted)])


def _goals(results: list[Result]) -> list[Goal]:
    usual, rare = _ratios(results, ALPHAS[0]), _ratios(results, ALPHAS[-1])
    options = (
        ("calls over Wald's bound at 1%, median", float(np.median(usual)), 1.8),
        ("calls over Wald's bound at 1%, worst cell", float(usual.max()), 2.5),
        ("calls over Wald's bound at 1e-8, median", float(np.median(rare)), 1.3),
    )
    return [Goal(goal, f"<= {most:g}", number(measured), measured <= most) for goal, measured, most in options]
