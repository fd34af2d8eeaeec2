"""Wrong shares and common trouble: harmless releases only, at weight 10 and, from the fifteenth minute on, at 50.

An outage that both versions share falls into the second step, or both drift; the canary's true share is its weight,
lags behind it, or swings around it. Tests that pool counts over time go wrong here.
"""

import math
from itertools import product

import numpy as np

from foundry_rollouts.bench.arrays import Bools
from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.recording import first_tick, record
from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, chosen, percent, rare
from foundry_rollouts.bench.rules import sequential
from foundry_rollouts.bench.streams import SHARES, Cell, Streams

NAME = "share"
TICK, SECONDS, NEW_WEIGHT_AT, OUTAGE_AT = 5.0, 1800.0, 900.0, 1080.0
RULES = ("ours", "pooled z, p < 0.001", "pooled mSPRT")
TRAFFIC, PATTERNS, STABLE_RATE = (20.0, 200.0), ("flat", "outage", "drift"), 0.01


def measure(options: Options) -> Report:
    """Watch harmless releases under every share and pattern."""
    cells = [
        Cell(traffic, STABLE_RATE, pattern=pattern, share=share, outage_at=OUTAGE_AT)
        for share, pattern, traffic in product(SHARES, PATTERNS, TRAFFIC)
    ]
    streams = Streams(cells, options.runs, options.dice(NAME))
    seen = record(streams, lambda now: 10.0 if now < NEW_WEIGHT_AT else 50.0, SECONDS, TICK)
    options.progress(NAME, 0.3)
    is_over = {
        RULES[0]: sequential.ours(seen, new_weight_at=round(NEW_WEIGHT_AT / TICK)) >= -math.log(0.01),
        RULES[1]: sequential.pooled_z(seen) >= 3.0902,
        RULES[2]: sequential.mixture(seen, STABLE_RATE) >= -math.log(0.01),
    }
    options.progress(NAME, 1.0)
    results = [
        _result(options, rule, cell, first_tick(over[streams.of(place)]) < seen.ticks)
        for rule, over in is_over.items()
        for place, cell in enumerate(cells)
    ]
    return Report(results, [_table(results)], _goals(results))


def _result(options: Options, rule: str, cell: Cell, back: Bools) -> Result:
    return Result(
        NAME, rule, cell.traffic, cell.stable_rate, cell.effect, cell.pattern, cell.share, options.runs,
        rolled_back=float(back.mean()),
        rolled_back_at_most=upper_bound(int(np.count_nonzero(back)), options.runs),
    )  # fmt: skip


def _table(results: list[Result]) -> Table:
    rows = []
    for share, pattern in product(SHARES, PATTERNS):
        mine = [chosen(results, rule=rule, share=share, pattern=pattern) for rule in RULES]
        rows.append((share, pattern, *(" / ".join(percent(each.rolled_back) for each in part) for part in mine)))
    title = "Harmless releases that are rolled back, at 20 / 200 calls a second, by the canary's true share"
    return Table(title, ("share", "pattern", *RULES), rows)


def _goals(results: list[Result]) -> list[Goal]:
    worst = max(chosen(results, rule=RULES[0]), key=lambda each: each.rollbacks)
    return [rare("false rollbacks under wrong shares, worst cell", worst.rollbacks, worst.runs)]
