"""Called safe by mistake: a canary exactly on the bad line, at weight 50 with a share that swings, for half an hour."""

import math
from itertools import product

import numpy as np

from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.recording import record
from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, chosen, percent
from foundry_rollouts.bench.rules.sequential import TOLERATING_NOTHING
from foundry_rollouts.bench.streams import BAD_LINE, STABLE_RATES, Cell, Streams

NAME = "safe"
TICK, SECONDS, WEIGHT, MISSED_BAD = 5.0, 1800.0, 50.0, 0.05
TRAFFIC, PATTERNS = (2.0, 20.0, 200.0), ("flat", "outage", "drift")


def measure(options: Options) -> Report:
    """Watch canaries that must not be called safe."""
    cells = [
        Cell(*service, effect=BAD_LINE, pattern=pattern, share="oscillating")
        for service, pattern in product(product(TRAFFIC, STABLE_RATES), PATTERNS)
    ]
    streams = Streams(cells, options.runs, options.dice(NAME))
    seen = record(streams, lambda _now: WEIGHT, SECONDS, TICK)
    processes, everyone = VectorProcesses(len(streams), TOLERATING_NOTHING, (), seen.known), np.arange(len(streams))
    is_called = np.zeros(len(streams), dtype=np.bool_)
    for tick in range(seen.ticks):
        processes.observe(everyone, seen.at_tick(tick), TICK)
        is_called |= processes.safe(everyone) >= -math.log(MISSED_BAD)
        options.progress(NAME, (tick + 1) / seen.ticks)
    called = [int(is_called[streams.of(place)].sum()) for place in range(len(cells))]
    results = [_result(options, cell, hits) for cell, hits in zip(cells, called, strict=True)]
    return Report(results, [_table(results)], _goals(results))


def _result(options: Options, cell: Cell, hits: int) -> Result:
    return Result(
        NAME, "ours", cell.traffic, cell.stable_rate, cell.effect, cell.pattern, cell.share, options.runs,
        weight=int(WEIGHT),
        called_safe=hits / options.runs,
        called_safe_at_most=upper_bound(hits, options.runs),
    )  # fmt: skip


def _table(results: list[Result]) -> Table:
    rows = []
    for traffic, pattern in product(TRAFFIC, PATTERNS):
        parts = [percent(each.called_safe) for each in chosen(results, traffic=traffic, pattern=pattern)]
        rows.append((f"{traffic:g} a second", pattern, *parts))
    titles = tuple(f"stable fails {100 * rate:g}%" for rate in STABLE_RATES)
    return Table(
        "Canaries on the bad line that are called safe within half an hour", ("traffic", "pattern", *titles), rows
    )


def _goals(results: list[Result]) -> list[Goal]:
    worst = max(results, key=lambda each: each.called_safe or 0.0)
    part, runs = worst.called_safe or 0.0, worst.runs
    # A true share of 5 % shows up as more than this in one of a thousand cells.
    noise = 3.1 * math.sqrt(MISSED_BAD * (1 - MISSED_BAD) / runs)
    mean = sum(each.called_safe or 0.0 for each in results) / len(results)
    measured = f"worst {percent(part)}, mean {percent(mean)}"
    wanted = f"<= 5% (+ {percent(noise)} of noise)"
    return [
        Goal("canaries on the bad line that are called safe, worst cell", wanted, measured, part <= MISSED_BAD + noise)
    ]
