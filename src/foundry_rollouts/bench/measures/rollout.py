"""Whole rollouts: who is rolled back, who gets all traffic, what that costs users, how long it takes."""

from itertools import chain

from foundry_rollouts.bench.report import (
    Goal,
    Options,
    Report,
    Result,
    Table,
    chosen,
    geometric_mean,
    number,
    percent,
    rare,
    results_of,
)
from foundry_rollouts.bench.rules.registry import FLAGGER_TEN, KAYENTA, OURS_DEFAULT, OURS_STRICT, rules
from foundry_rollouts.bench.simulate import Rule, simulate
from foundry_rollouts.bench.streams import EQUAL, LATE, PATTERNS, TRAFFIC, Streams, harmful, harmless

NAME = "rollout"
EFFECTS = ("+0.5pp", "2x", "5x", "10x", "dead", LATE)
#: Of these the failures are compared: a rule that has ended before the tenth minute says nothing of *late*.
COMPARED = EFFECTS[:-1]
#: How many times the failures of ours others must cause at least.
WANTED = {
    FLAGGER_TEN.name: {"5x": 10.0, "10x": 20.0, "dead": 40.0},
    KAYENTA.name: {"5x": 5.0, "10x": 13.0, "dead": 70.0},
}
BUSY = 2.0  #: Calls a second from which rules are compared by their harm.


def measure(options: Options) -> Report:
    """Lead every rule through every cell."""
    wanted = [rule for rule in rules(is_scalar=options.is_scalar) if options.wants(rule.name)]
    results = list(chain.from_iterable(_led(rule, options) for rule in wanted))
    names = [rule.name for rule in wanted]
    return Report(results, [_harmless_table(results, names), _harmful_table(results, names)], goals(results))


def _led(rule: Rule, options: Options) -> list[Result]:
    harmless_ones = Streams(harmless(), options.runs, options.dice(NAME, "harmless", rule.name))
    harmful_ones = Streams(harmful(), options.runs, options.dice(NAME, "harmful", rule.name))
    kept = results_of(NAME, rule.name, harmless_ones, simulate(rule, harmless_ones, options.progress))
    return kept + results_of(
        NAME, rule.name, harmful_ones, simulate(rule, harmful_ones, options.progress, until=3600.0)
    )


def _harmless_table(results: list[Result], names: list[str]) -> Table:
    titles = tuple(f"{'equal' if pattern == 'flat' else pattern}" for pattern in PATTERNS)
    rows = []
    for name in names:
        parts = [chosen(results, rule=name, effect=EQUAL, pattern=pattern) for pattern in PATTERNS]
        cells = [f"{percent(_mean_rolled_back(part))}, {percent(_worst(part))}" for part in parts]
        minutes = [_minutes(results, name, traffic) for traffic in TRAFFIC]
        bound = percent(max(each.rolled_back_at_most or 0.0 for part in parts for each in part))
        rows.append((name, *cells, bound, " / ".join(map(number, minutes))))
    title = (
        "Harmless releases: rolled back, mean over twelve services and worst (at most, with 95% confidence); "
        "median minutes to all traffic at 0.2 / 2 / 20 / 200 calls a second"
    )
    return Table(title, ("rule", *titles, "worst, at most", "minutes"), rows)


def _harmful_table(results: list[Result], names: list[str]) -> Table:
    rows = []
    for name in names:
        promoted = [percent(_mean_all_traffic(results, name, effect)) for effect in EFFECTS]
        ratios = [number(harm_ratio(results, name, effect)) for effect in COMPARED]
        rows.append((name, " / ".join(promoted), " / ".join(ratios)))
    columns = ("rule", "get all traffic", "failures caused")
    title = (
        f"Bad releases, {' / '.join(EFFECTS)}, on nine services with 2 calls a second or more: how many get all "
        f"traffic, and the failures that all but the last cause in the first hour as a multiple of {OURS_STRICT}"
    )
    return Table(title, columns, rows)


def harm_ratio(results: list[Result], name: str, effect: str) -> float | None:
    """Return the harm of a rule over that of ours, the geometric mean over busy services; None without ours."""
    mine = _busy(results, OURS_STRICT, effect)
    theirs = _busy(results, name, effect)
    if not (mine and theirs):
        return None
    pairs = zip(theirs, mine, strict=True)
    return geometric_mean(max(one.harm or 0.0, 0.01) / max(other.harm or 0.0, 0.01) for one, other in pairs)


def goals(results: list[Result]) -> list[Goal]:
    """Return the goals that whole rollouts can tell of."""
    return [*_goals_of_harmless(results), *_goals_of_harm(results)]


def _goals_of_harmless(results: list[Result]) -> list[Goal]:
    found = []
    for name in (OURS_STRICT, OURS_DEFAULT):
        harmless_ones = chosen(results, rule=name, effect=EQUAL)
        if harmless_ones:
            worst = max(harmless_ones, key=lambda each: each.rollbacks)
            found.append(rare(f"false rollbacks, {name}, worst cell", worst.rollbacks, worst.runs))
    return found


def _goals_of_harm(results: list[Result]) -> list[Goal]:
    found = []
    for name, wanted in WANTED.items():
        for effect, least in wanted.items():
            ratio = harm_ratio(results, name, effect)
            if ratio is not None:
                goal = f"failures of {name}, a canary {effect}, over ours"
                found.append(Goal(goal, f">= {least:g}", number(ratio), ratio >= least))
    return found


def _busy(results: list[Result], name: str, effect: str) -> list[Result]:
    return [each for each in chosen(results, rule=name, effect=effect) if (each.traffic or 0.0) >= BUSY]


def _mean_rolled_back(results: list[Result]) -> float:
    return sum(each.rolled_back or 0.0 for each in results) / len(results)


def _worst(results: list[Result]) -> float:
    return max(each.rolled_back or 0.0 for each in results)


def _mean_all_traffic(results: list[Result], name: str, effect: str) -> float:
    busy = _busy(results, name, effect)
    return sum(each.all_traffic or 0.0 for each in busy) / len(busy)


def _minutes(results: list[Result], name: str, traffic: float) -> float | None:
    wanted = {"rule": name, "effect": EQUAL, "pattern": "flat", "traffic": traffic, "stable_rate": 0.01}
    seconds = chosen(results, **wanted)[0].seconds_to_all_traffic
    return None if seconds is None else seconds / 60
