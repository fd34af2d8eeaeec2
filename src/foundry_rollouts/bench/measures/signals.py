"""Latency: how soon a slower canary is seen, by calls slower than stable's median, p90 and p99.

Latencies are log-normal (a median of 200 ms, p99 near 640 ms). Ours averages the evidence of the three questions;
beside it stands the usual rule: the canary's p99 over a minute against a fixed limit, five failed checks.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats, Ints
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.recording import first_tick
from foundry_rollouts.bench.report import Options, Report, Result, Table, number, percent
from foundry_rollouts.bench.rules.sequential import TOLERATING_NOTHING
from foundry_rollouts.core.judging.constants import SLOW

NAME = "signals"
TICK, TICKS, TRAFFIC, WEIGHT = 5.0, 360, 20.0, 0.10
_SIGMA = 0.5
_NORMAL = NormalDist()
_MEDIAN = 0.2
_LIMIT = math.log(0.7 / _MEDIAN)  #: The fixed limit, a little above stable's p99, as an edge.
_CHECKS = 5


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the canary's latency; both versions are ``shared`` times as slow from minute 10 to 13."""

    name: str
    times: float = 1.0
    slow_part: float = 0.0  #: Calls that take a second longer.
    shared: float = 1.0


CHANGES = (
    Change("none"),
    Change("both 3x as slow for 3 minutes", shared=3.0),
    *(Change(f"median {100 * (times - 1):+.0f}%", times) for times in (1.1, 1.2, 1.5, 2.0)),
    Change("1% of calls 1 s slower", slow_part=0.01),
)


def measure(options: Options) -> Report:
    """Watch each change for half an hour."""
    results, rows = [], []
    for change in CHANGES:
        ours, fixed = _first_ticks(change, options.dice(NAME, change.name), options.runs)
        mine = [_result(options, rule, change, first) for rule, first in (("ours", ours), ("p99 < 700 ms", fixed))]
        results += mine
        cells = [f"{percent(each.rolled_back)}, {number(each.seconds_to_rollback)} s" for each in mine]
        rows.append((change.name, *cells))
        options.progress(NAME, len(rows) / len(CHANGES))
    title = "A slower canary (20 calls a second, weight 10): rolled back within half an hour, and after how long"
    return Report(results, [Table(title, ("change", "ours", "p99 < 700 ms over a minute, five checks"), rows)])


def _result(options: Options, rule: str, change: Change, first: Floats) -> Result:
    back = np.isfinite(first)
    return Result(
        NAME, rule, TRAFFIC, 0.0, change.name, "flat", "exact", options.runs,
        rolled_back=float(back.mean()),
        seconds_to_rollback=float(first[back].mean()) if back.any() else None,
    )  # fmt: skip


def _first_ticks(change: Change, dice: np.random.Generator, runs: int) -> tuple[Floats, Floats]:
    """Return after how many seconds each run goes back by either rule; infinite where it does not."""
    questions = [VectorProcesses(runs, TOLERATING_NOTHING, ladder=()) for _ in SLOW]
    evidence, over = np.zeros((runs, TICKS)), np.zeros((2, runs, TICKS))
    for tick in range(TICKS):
        canary, stable = _counted(change, dice, runs, is_shared=120 <= tick < 156)
        for place, question in enumerate(questions):
            counts = Counts(canary[0], canary[place + 1], stable[0], stable[place + 1])
            question.observe(np.arange(runs), counts, TICK)
        evidence[:, tick] = _mean([question.harm(np.arange(runs)) for question in questions])
        over[:, :, tick] = canary[0], canary[-1]
    minutes = over.reshape(2, runs, TICKS // 12, 12).sum(axis=3)
    failed = ((minutes[1] > 0.01 * minutes[0]) | (minutes[0] == 0)).cumsum(axis=1)
    # The fixed rule goes back at the check after the last failed one.
    return (
        _seconds(first_tick(evidence >= -math.log(0.01)), TICKS, TICK),
        _seconds(first_tick(failed >= _CHECKS) + 1, TICKS // 12, 12 * TICK),
    )


def _counted(change: Change, dice: np.random.Generator, runs: int, *, is_shared: bool) -> tuple[list[Ints], list[Ints]]:
    """Draw one tick: calls on the canary, and how many were slower than each edge and than the limit; so on stable."""
    shared = change.shared if is_shared else 1.0
    calls = dice.poisson(TRAFFIC * TICK, size=runs)
    canary = dice.binomial(calls, WEIGHT)
    lines = [*(_NORMAL.inv_cdf(part) * _SIGMA for part in SLOW), _LIMIT]
    above = _above(dice, canary, [_slower(change, line, shared) for line in lines])
    stable = _above(dice, calls - canary, [_slower(CHANGES[0], line, shared) for line in lines])
    return [canary, *above], [calls - canary, *stable]


def _slower(change: Change, edge: float, shared: float) -> float:
    """Return the part of calls that are slower than ``edge``, the logarithm of a latency over stable's median."""
    factor = math.log(change.times * shared)
    usual = 1 - _NORMAL.cdf((edge - factor) / _SIGMA)
    left = _MEDIAN * math.exp(edge) - 1.0
    with_a_second = 1 - _NORMAL.cdf((math.log(left / _MEDIAN) - factor) / _SIGMA) if left > 0 else 1.0
    return (1 - change.slow_part) * usual + change.slow_part * with_a_second


def _above(dice: np.random.Generator, calls: Ints, parts: list[float]) -> list[Ints]:
    """Draw how many calls are slower than each edge; what is slower than one is slower than those before it."""
    above, before = [], 1.0
    for part in parts:
        calls, before = dice.binomial(calls, min(1.0, part / before)), part
        above.append(calls)
    return above


def _mean(logs: list[Floats]) -> Floats:
    total = np.logaddexp.reduce(np.stack(logs), axis=0)
    mean: Floats = total - math.log(len(logs))
    return mean


def _seconds(first: Ints, ticks: int, tick: float) -> Floats:
    return np.where(first < ticks, (first + 1) * tick, np.inf)
