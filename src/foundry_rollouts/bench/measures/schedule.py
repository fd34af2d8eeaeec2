"""The schedule: how soon a healthy version has all traffic, and what a bad one costs on the way."""

from itertools import chain

from foundry_rollouts.bench.report import Goal, Options, Report, Result, Table, chosen, number, results_of
from foundry_rollouts.bench.rules.ours import Ours, automatic
from foundry_rollouts.bench.rules.registry import FLAGGER_TEN, ours
from foundry_rollouts.bench.simulate import Rule, simulate
from foundry_rollouts.bench.streams import EQUAL, TRAFFIC, Cell, Streams

NAME = "schedule"
AUTO = Ours("ours, automatic", automatic(60.0))
#: What the weights alone can do: where no call lasts longer than a tick, none is waited for.
QUICK = Ours("ours, automatic, call-limit 5s", automatic(5.0))
STABLE_RATE = 0.01
EFFECTS = (EQUAL, "dead", "5x")
MOST_MINUTES = {2.0: 11.0, 20.0: 4.0, 200.0: 1.5}
MOST_FAILURES = 25.0


def measure(options: Options) -> Report:
    """Lead a healthy, a dead and a five times worse canary by fixed and by automatic weights."""
    candidates: tuple[Rule, ...] = (*ours(is_scalar=options.is_scalar), AUTO, QUICK, FLAGGER_TEN)
    wanted = [rule for rule in candidates if options.wants(rule.name)]
    results = list(chain.from_iterable(_led(rule, options) for rule in wanted))
    return Report(results, [_table(results, [rule.name for rule in wanted])], _goals(results))


def _led(rule: Rule, options: Options) -> list[Result]:
    cells = [Cell(traffic, STABLE_RATE, effect) for traffic in TRAFFIC for effect in EFFECTS]
    streams = Streams(cells, options.runs, options.dice(NAME, rule.name))
    return results_of(NAME, rule.name, streams, simulate(rule, streams, options.progress))


def _table(results: list[Result], names: list[str]) -> Table:
    rows = []
    for name in names:
        mine = [chosen(results, rule=name, traffic=traffic) for traffic in TRAFFIC]
        rows.append(
            (name, *(f"{number(_minutes(each))} / {_harm(each, 'dead')} / {_harm(each, '5x')}" for each in mine))
        )
    title = (
        "Stable fails 1%: minutes until a healthy canary has all traffic / failures of a dead one / of one 5x as bad"
    )
    return Table(title, ("rule", *(f"{traffic:g} a second" for traffic in TRAFFIC)), rows)


def _goals(results: list[Result]) -> list[Goal]:
    mine = chosen(results, rule=QUICK.name)
    if not mine:
        return []
    dead = max(each.harm or 0.0 for each in chosen(mine, effect="dead"))
    found = [
        Goal(
            "failures of a dead canary, automatic weights, call-limit 5s", "<= 25", number(dead), dead <= MOST_FAILURES
        )
    ]
    for traffic, most in MOST_MINUTES.items():
        minutes = _minutes(chosen(mine, traffic=traffic))
        goal = f"minutes to all traffic, automatic weights, call-limit 5s, {traffic:g} a second"
        found.append(Goal(goal, f"<= {most:g}", number(minutes), minutes is not None and minutes <= most))
    return found


def _minutes(results: list[Result]) -> float | None:
    seconds = chosen(results, effect=EQUAL)[0].seconds_to_all_traffic
    return None if seconds is None else seconds / 60


def _harm(results: list[Result], effect: str) -> str:
    return number(chosen(results, effect=effect)[0].harm)
