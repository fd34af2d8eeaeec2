"""What breaks the promise: calls that fail together, instances that differ, versions that start cold.

The promise rests on calls that fail independently of each other and on versions that stand alike. Here they do not, and
releases that are just as good are rolled back; a tolerance, or counting a thing once, is the cure.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats
from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.report import Options, Report, Result, Table, percent
from foundry_rollouts.core.judging.capital import Hypotheses
from foundry_rollouts.core.model.policy import Margin

NAME = "depend"
TICK, TICKS, WEIGHT, STABLE_RATE = 5.0, 360, 0.10, 0.01
BAD = Margin(1.5, 0.005)
TOLERANCES = (Margin(1.0), Margin(1.2), Margin(1.5, 0.002))

Rates = Callable[[np.random.Generator, int], Floats]  #: The canary's rate of each run at each tick.


@dataclass(frozen=True, slots=True)
class Trouble:
    """One way to break the promise; each failure is counted ``times`` over, as if every one were retried."""

    name: str
    traffic: float
    times: int = 1
    rates: Rates = lambda _dice, runs: np.full((runs, TICKS), STABLE_RATE)


def instances(spread: float) -> Rates:
    """Return the rates of two instances that differ by ``spread`` (the standard deviation over the mean)."""

    def rates(dice: np.random.Generator, runs: int) -> Floats:
        shape = 1 / spread**2
        each = dice.gamma(shape, STABLE_RATE / shape, size=(runs, 2)).mean(axis=1)
        return np.repeat(np.minimum(each, 1.0)[:, None], TICKS, axis=1)

    return rates


def cold(_dice: np.random.Generator, runs: int) -> Floats:
    """Return the rates of a canary that fails five times as often in its first minute."""
    rates = np.full((runs, TICKS), STABLE_RATE)
    rates[:, : round(60 / TICK)] *= 5
    return rates


TROUBLES = (
    Trouble("none", 20.0),
    *(Trouble(f"every failure counted {times} times", 20.0, times) for times in (2, 5, 10)),
    *(Trouble(f"two instances, spread {spread:g}", 200.0, rates=instances(spread)) for spread in (0.2, 0.5)),
    *(Trouble("5x in the first minute", traffic, rates=cold) for traffic in (20.0, 200.0)),
)


def measure(options: Options) -> Report:
    """Watch equal versions under each trouble, with each tolerance."""
    results, rows = [], []
    for place, trouble in enumerate(TROUBLES):
        seen = _counted(trouble, options.dice(NAME, str(place)), options.runs)
        back = [_rolled_back(seen, tolerate, options.runs) for tolerate in TOLERANCES]
        results += [
            Result(
                NAME, f"ours, {tolerate}", trouble.traffic, STABLE_RATE, trouble.name, "flat", "exact", options.runs,
                rolled_back=hits / options.runs, rolled_back_at_most=upper_bound(hits, options.runs),
            )
            for tolerate, hits in zip(TOLERANCES, back, strict=True)
        ]  # fmt: skip
        rows.append((trouble.name, f"{trouble.traffic:g} a second", *(percent(hits / options.runs) for hits in back)))
        options.progress(NAME, (place + 1) / len(TROUBLES))
    title = "Versions that are as good as each other are rolled back within half an hour, by what is tolerated"
    return Report(results, [Table(title, ("trouble", "traffic", *map(str, TOLERANCES)), rows)])


def _counted(trouble: Trouble, dice: np.random.Generator, runs: int) -> list[Counts]:
    rates = trouble.rates(dice, runs)
    seen = []
    for tick in range(TICKS):
        calls = dice.poisson(trouble.traffic * TICK, size=runs)
        canary = dice.binomial(calls, WEIGHT)
        failed = dice.binomial(canary, rates[:, tick])
        stable_failed = dice.binomial(calls - canary, STABLE_RATE)
        again = trouble.times - 1
        counts = Counts(
            canary + again * failed,
            trouble.times * failed,
            calls - canary + again * stable_failed,
            trouble.times * stable_failed,
        )
        seen.append(counts)
    return seen


def _rolled_back(seen: list[Counts], tolerate: Margin, runs: int) -> int:
    processes, everyone = VectorProcesses(runs, Hypotheses(tolerate, BAD), ladder=()), np.arange(runs)
    most = np.zeros(runs)
    for counts in seen:
        processes.observe(everyone, counts, TICK)
        most = np.maximum(most, processes.harm(everyone))
    return int((most >= -math.log(0.01)).sum())
