"""Detection at equal false rollback: who sees a bad canary after the fewest failures, at a fixed weight of 10.

Everybody watches the same half hour. Fixed thresholds are tuned to 1 % false rollbacks on it (``tuning.py``).
"""

import math

import numpy as np

from foundry_rollouts.bench.arrays import Bools
from foundry_rollouts.bench.bounds import upper_bound
from foundry_rollouts.bench.measures.tuning import (
    FOR_ALL,
    PER_SERVICE,
    PER_SERVICE_OUTAGE,
    TUNED_RULES,
    Service,
    Tuned,
    common_thresholds,
    try_out,
    tune,
    tuned_results,
)
from foundry_rollouts.bench.recording import Recording, first_tick, record
from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, chosen, geometric_mean, number, percent
from foundry_rollouts.bench.rules import sequential
from foundry_rollouts.bench.streams import EFFECTS, EQUAL, Cell, Streams, services, worse

NAME = "detect"
TICK, SECONDS, WEIGHT = 10.0, 1800.0, 10.0
OURS, OURS_ONE, ORACLE, MIXTURE = "ours, alpha 5%", "ours, alpha 1%", "oracle SPRT", "mSPRT, tuned to the effect"
#: What others must cause at least, as a multiple of ours at an equal share of false rollbacks.
WANTED = {FOR_ALL: 8.0, PER_SERVICE: 2.0, PER_SERVICE_OUTAGE: 3.5}


def measure(options: Options) -> Report:
    """Watch every service, twice: once to tune what can be tuned, once to try it."""
    results: list[Result] = []
    tuned: dict[Service, Tuned] = {}
    for place, service in enumerate(services()):
        seen = _record(options, service)
        results += _watched(options, service, seen)
        tuned[service] = tune(seen[EQUAL, "flat"], seen[EQUAL, "outage"])
        options.progress("detect: tests and thresholds", (place + 1) / len(services()) / 2)
    common = common_thresholds(tuned.values())
    for place, service in enumerate(services()):
        seen = _record(options, service)
        try_out(tuned[service], {effect: seen[effect, "flat"] for effect in EFFECTS}, common)
        options.progress("detect: tests and thresholds", 0.5 + (place + 1) / len(services()) / 2)
    cells = decidable(results)
    results += tuned_results(NAME, options.runs, tuned, cells)
    return Report(results, [_table(results, cells)], _goals(results, cells))


def decidable(results: list[Result]) -> list[tuple[Service, str]]:
    """Return the cells that the oracle decides in 19 of 20 runs: the others say nothing about anybody."""
    seen = [each for each in chosen(results, rule=ORACLE) if (each.rolled_back or 0.0) >= 0.95]
    return [((each.traffic or 0.0, each.stable_rate), each.effect) for each in seen]


def _record(options: Options, service: Service) -> dict[tuple[str, str], Recording]:
    """Return the half hour of one service, by effect and pattern; the same for the same seed."""
    kinds = [(EQUAL, "flat"), (EQUAL, "outage"), *((effect, "flat") for effect in EFFECTS)]
    cells = [Cell(*service, effect=effect, pattern=pattern) for effect, pattern in kinds]
    streams = Streams(cells, options.runs, options.dice(NAME, str(service)))
    seen = record(streams, lambda _now: WEIGHT, SECONDS, TICK)
    return {kind: seen[streams.of(place)] for place, kind in enumerate(kinds)}


def _watched(options: Options, service: Service, seen: dict[tuple[str, str], Recording]) -> list[Result]:
    found = []
    for (effect, pattern), each in seen.items():
        evidence = sequential.ours(each)
        tests = {OURS: (evidence, 0.05), OURS_ONE: (evidence, 0.01)}
        if effect != EQUAL:
            rate = float(worse(effect, np.array([service[1]]))[0])
            tests[ORACLE] = sequential.oracle(each, rate, service[1]), 0.01
            tests[MIXTURE] = sequential.mixture(each, rate - service[1]), 0.01
        else:
            tests[MIXTURE] = sequential.mixture(each, service[1]), 0.01
        cell = Cell(*service, effect=effect, pattern=pattern)
        found += [_result(options, rule, cell, each, log >= -math.log(alpha)) for rule, (log, alpha) in tests.items()]
    return found


def _result(options: Options, rule: str, cell: Cell, seen: Recording, is_over: Bools) -> Result:
    first = first_tick(is_over)
    back = first < seen.ticks
    return Result(
        NAME, rule, cell.traffic, cell.stable_rate, cell.effect, cell.pattern, cell.share, options.runs,
        rolled_back=float(back.mean()),
        rolled_back_at_most=upper_bound(int(back.sum()), options.runs),
        seconds_to_rollback=float((first[back] + 1).mean() * TICK) if back.any() else None,
        harm=float(seen.harm_until(first).mean()),
    )  # fmt: skip


def ratio(results: list[Result], rule: str, cells: list[tuple[Service, str]], base: str = OURS) -> float:
    """Return the harm of ``rule`` over that of ``base``: the geometric mean over ``cells``."""
    harm = {(each.rule, (each.traffic or 0.0, each.stable_rate), each.effect): each.harm or 0.0 for each in results}
    return geometric_mean(harm[(rule, *cell)] / max(harm[(base, *cell)], 0.01) for cell in cells)


def _table(results: list[Result], cells: list[tuple[Service, str]]) -> Table:
    rows = []
    for rule in (OURS, OURS_ONE, ORACLE, MIXTURE, *TUNED_RULES):
        equal = chosen(results, rule=rule, effect=EQUAL, pattern="flat")
        outage = chosen(results, rule=rule, effect=EQUAL, pattern="outage")
        rows.append((rule, _false(equal), _false(outage), number(ratio(results, rule, cells))))
    title = (
        f"Detection at weight 10 within 30 minutes: false rollbacks, mean and worst of twelve services, and failures "
        f"until the rollback as a multiple of {OURS}, over the {len(cells)} of 60 cells that can be decided"
    )
    return Table(title, ("rule", "equal", "shared outage", "failures caused"), rows)


def _false(results: list[Result]) -> str:
    parts = [each.rolled_back or 0.0 for each in results]
    return f"{percent(sum(parts) / len(parts))}, {percent(max(parts))}" if parts else "-"


def _goals(results: list[Result], cells: list[tuple[Service, str]]) -> list[Goal]:
    over_oracle = 1 / ratio(results, ORACLE, cells)
    found = [Goal("failures of ours over the oracle's, alpha 5%", "<= 1.25", number(over_oracle), over_oracle <= 1.25)]
    for rule, least in WANTED.items():
        times = ratio(results, rule, cells)
        found.append(Goal(f"failures of a {rule}, over ours", f">= {least:g}", number(times), times >= least))
    return found
