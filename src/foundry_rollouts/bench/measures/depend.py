"""What breaks the promise: calls that fail together, instances that differ, versions that start cold; and its cure.

The promise rests on calls that fail independently of each other and on versions that stand alike. Here they do not, and
releases that are just as good are rolled back. A session that is counted once, a cluster factor, a warm-up cure it;
against instances that differ only a tolerance helps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats
from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, percent, rare
from foundry_rollouts.bench.world.laws import Laws, Plan
from foundry_rollouts.bench.world.stratum import Seen, Stratum
from foundry_rollouts.core.judging.capital import Hypotheses
from foundry_rollouts.core.model.policy import Margin

NAME = "depend"
TICK, TICKS, WEIGHT, STABLE_RATE = 5.0, 360, 0.10, 0.01
BAD = Margin(1.5, 0.005)
DEFAULT = Margin(1.2)
TOLERANCES = (Margin(1.0), DEFAULT, Margin(1.5, 0.002))
ONCE, DIVIDED, WARM = "1.2x, sessions counted once", "1.2x, cluster factor", "1.2x, warm-up of a minute"
CURES = (ONCE, DIVIDED, WARM)
ENOUGH = -math.log(0.01)

Rates = Callable[[np.random.Generator, int], Floats]  #: The canary's rate of each run at each tick.


@dataclass(frozen=True, slots=True)
class Trouble:
    """One way to break the promise; each failure is counted ``times`` over, as if every one were retried."""

    name: str
    traffic: float
    times: int = 1
    rates: Rates = lambda _dice, runs: np.full((runs, TICKS), STABLE_RATE)
    is_cold: bool = False


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
    *(Trouble("5x in the first minute", traffic, rates=cold, is_cold=True) for traffic in (20.0, 200.0)),
)


def measure(options: Options) -> Report:
    """Watch equal versions under each trouble, with each tolerance, and with what cures it."""
    results, rows, goals = [], [], []
    for place, trouble in enumerate(TROUBLES):
        back = _watched(trouble, options, str(place))
        results += [
            Result(
                NAME, f"ours, {rule}", trouble.traffic, STABLE_RATE, trouble.name, "flat", "exact", options.runs,
                rolled_back=hits / options.runs, rolled_back_at_most=upper_bound(hits, options.runs),
            )
            for rule, hits in back.items()
        ]  # fmt: skip
        said = {rule: percent(hits / options.runs) for rule, hits in back.items()}
        columns = (*map(str, TOLERANCES), *CURES)
        rows.append((trouble.name, f"{trouble.traffic:g} a second", *(said.get(rule, "-") for rule in columns)))
        goals += [_goal(trouble, rule, back[rule], options.runs) for rule in CURES if rule in back]
        options.progress(NAME, (place + 1) / len(TROUBLES))
    title = "Versions that are as good as each other are rolled back within half an hour, by what is tolerated"
    return Report(results, [Table(title, ("trouble", "traffic", *map(str, TOLERANCES), *CURES), rows)], goals)


def _watched(trouble: Trouble, options: Options, place: str) -> dict[str, int]:
    """Return how many runs are rolled back by each rule."""
    runs, seen = options.runs, _counted(trouble, options.dice(NAME, place), options.runs)
    back = {str(tolerate): _rolled_back(seen, Hypotheses(tolerate, BAD), runs) for tolerate in TOLERANCES}
    if trouble.times > 1:
        once = _counted(replace(trouble, times=1), options.dice(NAME, place), runs)
        back[ONCE] = _rolled_back(once, Hypotheses(DEFAULT, BAD), runs)
        back[DIVIDED] = _rolled_back(seen, Hypotheses(DEFAULT, BAD, float(trouble.times)), runs)
    if trouble.is_cold:
        back[WARM] = _rolled_back_warm(seen, runs)
    return back


def _goal(trouble: Trouble, rule: str, hits: int, runs: int) -> Goal:
    return rare(f"false rollbacks, {trouble.name}, {trouble.traffic:g} a second, {rule}", hits, runs)


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


def _rolled_back(seen: list[Counts], bets: Hypotheses, runs: int) -> int:
    processes, everyone = VectorProcesses(runs, bets, ladder=()), np.arange(runs)
    most = np.zeros(runs)
    for counts in seen:
        processes.observe(everyone, counts, TICK)
        most = np.maximum(most, processes.harm(everyone))
    return int((most >= ENOUGH).sum())


def _rolled_back_warm(seen: list[Counts], runs: int) -> int:
    plan = Plan(tolerate=DEFAULT, bad=BAD, ceiling=None, tick=TICK, laws=Laws(settle=0.0))
    stratum, everyone, never = Stratum(runs, plan, None), np.arange(runs), np.zeros(runs, dtype=np.bool_)
    most = np.zeros(runs)
    for number, counts in enumerate(seen, start=1):
        is_warm = ~never if number * TICK <= plan.laws.warm_up else never
        how = Seen(TICK, is_warm, never, never, np.zeros(runs, dtype=np.int64), np.ones(runs))
        stratum.observe(everyone, counts, how)
        most = np.maximum(most, stratum.harm(everyone))
    return int((most >= ENOUGH).sum())
