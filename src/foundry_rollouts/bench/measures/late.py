"""Failures that come late: how long the judge takes to see them after a quiet time, and whether it sees them at all."""

import math

import numpy as np

from foundry_rollouts.bench.arrays import Floats
from foundry_rollouts.bench.recording import first_tick, record
from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, chosen, number, percent
from foundry_rollouts.bench.rules import sequential
from foundry_rollouts.bench.streams import LATE, Cell, Streams, services

NAME = "late"
TICK, WEIGHT = 5.0, 50.0
QUIET_MINUTES = (0, 10, 30, 50)
DELAYED = "5x"


def measure(options: Options) -> Report:
    """Watch canaries that break late: a five times worse one, and one that is 20 points worse from minute 10 on."""
    slow = [Cell(20.0, 0.01, DELAYED, breaks_at=60.0 * minutes) for minutes in QUIET_MINUTES]
    sudden = [Cell(*service, LATE, breaks_at=600.0) for service in services()]
    results = _watched(options, slow, 4200.0) + _watched(options, sudden, 3600.0)
    return Report(results, [_delays(results), _caught(results)], _goals(results))


def _watched(options: Options, cells: list[Cell], seconds: float) -> list[Result]:
    streams = Streams(cells, options.runs, options.dice(NAME, cells[0].effect))
    seen = record(streams, lambda _now: WEIGHT, seconds, TICK)
    first = first_tick(sequential.ours(seen) >= -math.log(0.01))
    options.progress(f"{NAME}, {cells[0].effect}", 1.0)
    ended = np.where(first < seen.ticks, (first + 1) * TICK, np.inf)
    return [_result(cell, ended[streams.of(place)]) for place, cell in enumerate(cells)]


def _result(cell: Cell, ended: Floats) -> Result:
    ended = ended[ended > cell.breaks_at]  # What went back before it broke is counted elsewhere, as a false rollback.
    is_caught = np.isfinite(ended)
    return Result(
        NAME, "ours", cell.traffic, cell.stable_rate, cell.effect, f"breaks at {cell.breaks_at / 60:g} min", "exact",
        len(ended),
        weight=int(WEIGHT),
        rolled_back=float(is_caught.mean()),
        seconds_to_rollback=float((ended[is_caught] - cell.breaks_at).mean()) if is_caught.any() else None,
    )  # fmt: skip


def _delays(results: list[Result]) -> Table:
    rows = [
        (f"{minutes} min", number(each.seconds_to_rollback), percent(each.rolled_back))
        for minutes, each in zip(QUIET_MINUTES, chosen(results, effect=DELAYED), strict=True)
    ]
    title = "A canary that becomes 5x as bad late (20 calls a second, stable fails 1%, weight 50)"
    return Table(title, ("quiet time", "seconds until the rollback", "caught"), rows)


def _caught(results: list[Result]) -> Table:
    rows = [
        (
            f"{each.traffic:g} a second",
            percent(each.stable_rate),
            percent(each.rolled_back),
            number(each.seconds_to_rollback),
        )
        for each in chosen(results, effect=LATE)
    ]
    title = "A canary that becomes 20 points worse in the tenth minute, at weight 50 until the sixtieth"
    return Table(title, ("traffic", "stable fails", "caught", "seconds until the rollback"), rows)


def _goals(results: list[Result]) -> list[Goal]:
    delays = [each.seconds_to_rollback or math.inf for each in chosen(results, effect=DELAYED)]
    after = delays[QUIET_MINUTES.index(30)] / delays[0]
    least = min(each.rolled_back or 0.0 for each in chosen(results, effect=LATE))
    busy = min(each.rolled_back or 0.0 for each in chosen(results, effect=LATE) if (each.traffic or 0.0) >= 2)
    return [
        Goal("delay after 30 quiet minutes, over that at start", "<= 1.6", number(after), after <= 1.6),
        Goal("late failures caught while soaking, worst of 12 services", ">= 85%", percent(least), least >= 0.85),
        Goal("the same, services with 2 calls a second or more", ">= 99%", percent(busy), busy >= 0.99),
    ]
