"""``foundry-rollouts rollout explain``: every decision with its inputs, so that a person can compute it again."""

import operator
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

import typer

from foundry_rollouts.cli.bounds import bounds_words
from foundry_rollouts.cli.commands import waits
from foundry_rollouts.cli.counts_csv import HEADER
from foundry_rollouts.cli.options import DEFAULT_SERVER, AgentOption, RolloutArgument, ServerOption
from foundry_rollouts.cli.output import Column, Item, Output, OutputOption, column, say, show_item, show_items
from foundry_rollouts.core.judging.logarithms import TEN
from foundry_rollouts.core.judging.sentences import odds

EXPLAIN_EXAMPLES = (
    "foundry-rollouts rollout explain --agent support-eu",
    "foundry-rollouts rollout explain 01jd2m3n4p5q6r7s8 --output json",
    "foundry-rollouts rollout explain --agent support-eu --counts probe > counts.csv",
)


@waits
async def explain(
    rollout: RolloutArgument = None,
    agent: AgentOption = None,
    counts: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Write what this source counted, as 'policy backtest --counts' reads it."),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show every decision of a rollout with its inputs, so that you can compute it yourself."""
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.errors import NotFoundError

    async with OpsApi.at(server) as api:
        explained = await api.explanation(str((await api.named(rollout, agent))["id"]))
    if counts:
        rows = list(_rows(explained, counts))
        if not rows:
            sources = sorted(
                {each["source"] for decision in explained["decisions"] for each in decision["measurements"]}
            )
            raise NotFoundError(f"{counts} counted nothing here: name one of {', '.join(sources) or 'none'}")
        say("\n".join([",".join(HEADER), *rows]))
    elif output is not Output.TABLE:
        show_item(explained, (), output)
    else:
        _show(explained)


def _show(explained: Item) -> None:
    judge = explained["judge"]
    against = f"against version {explained['stable']}" if explained["stable"] else "without a stable version"
    say(
        f"rollout {explained['rollout']} of {explained['agent']}: version {explained['canary']} {against} under policy "
        f"{explained['policy']}, {_words(explained['phase'])}"
    )
    say(
        f"harm is proved at evidence {_odds(judge['harm_enough_log10'])} that it is worse than {judge['tolerate']} "
        f"stable, all gates together"
    )
    say(
        f"a step is proved at evidence {_odds(judge['safe_enough_log10'])} that it is better than {judge['bad']} "
        "stable, at each gate, while nothing speaks for harm"
    )
    if judge["warm_up_seconds"]:
        say(
            f"the canary warms up for {judge['warm_up_seconds']:g} s after each raise: only more than 25 points worse "
            "is harm then, and nothing is proved"
        )
    for decision in explained["decisions"]:
        _show_decision(decision)


def _show_decision(decision: Item) -> None:
    weights = ", ".join(f"version {version} at {weight}%" for version, weight in (decision["weights"] or {}).items())
    author = f", by {decision['author']}" if decision["author"] else ""
    say(f"\n{decision['at']}  {decision['kind']}  {weights}{author}")
    say(f"because: {decision['because']}")
    if decision["computed"] not in {None, decision["because"]}:
        say(f"computed again from the measurements: {decision['computed']}")
    strata = [_flat(gate, stratum) for gate in decision["gates"] for stratum in gate["strata"]]
    if decision["gates"]:
        say(_since(decision))
    if strata:
        show_items(strata, (*_STRATA, *_further(strata), column("trouble")), Output.TABLE, "")
    if numbers := list(_numbers(decision["gates"])):
        show_items(numbers, _NUMBERS, Output.TABLE, "")
    for gate in decision["gates"]:
        say(_gate_line(gate))
    for split in decision["splits"]:
        say(_split_line(split))
    if decision["is_troubled"]:
        say("shared trouble: stable fails more than before, too, so that nothing is proved and the clocks stand")


def _split_line(split: Item) -> str:
    sessions = split["canary"] + split["stable"]
    ends = "which does not follow the weight" if split["is_ignored"] else "which goes with the weight"
    return f"of {sessions} new sessions {split['canary']} went to the canary, seen by {split['stratum']}, {ends}"


def _further(strata: Sequence[Item]) -> Iterator[Column]:
    """Yield the columns that matter at some decisions only."""
    if any(item["cluster"] != 1 for item in strata):
        yield Column("cluster", lambda item: f"{item['cluster']:.1f}")
    if any(item["guard_log10"] is not None for item in strata):
        yield Column("guard", lambda item: "" if item["guard_log10"] is None else _odds(item["guard_log10"]))


def _since(decision: Item) -> str:
    measured = decision["measurements"]
    windows = len({(each["start"], each["end"]) for each in measured})
    age = decision["step_age_seconds"]
    settles = decision["settles_seconds"]
    proves = f", calls prove something after {settles:.0f} s" if settles else ""
    return f"from {windows} windows since the decision before; the step was {age:.0f} s old{proves}"


def _flat(gate: Item, stratum: Item) -> Item:
    return {"gate": gate["gate"], **stratum}


def _numbers(gates: Sequence[Item]) -> Iterator[Item]:
    """Yield a row for each window that counts towards a gate on a value; one without numbers for a silent source."""
    for gate in gates:
        for value in gate["values"]:
            of_it = {"gate": gate["gate"], "bounds": bounds_words(gate["bounds"]), **value}
            numbers: Sequence[Item] = value["numbers"] or ({},)
            yield from ({**of_it, **number} for number in numbers)


def _gate_line(gate: Item) -> str:
    if bounds := gate["bounds"]:
        said = gate["because"].replace(f"{gate['gate']}: ", "", 1)
        return f"{gate['gate']} ({bounds['windows']} windows in a row decide): {gate['verdict']}, {said}"
    if not gate["strata"]:
        return f"{gate['gate']}: {gate['verdict']}, {gate['because']}"
    threshold = "" if gate["threshold"] is None else f", line at {gate['threshold']:.2%}"
    return (
        f"{gate['gate']} (part {gate['part']:.0%} of all): {gate['verdict']}, evidence of harm "
        f"{_odds(gate['harm_log10'])}, of safety {_odds(gate['safe_log10'])}{threshold}"
    )


def _pair(name: str, version: str) -> Column:
    title = f"{version} {'at this step' if name == 'at_step' else 'in all'}"

    def of(item: Item) -> str:
        pair = item[name]
        return f"{pair[f'{version}_failures']} of {pair[f'{version}_calls']}"

    return Column(title, of)


def _odds(log10: float) -> str:
    """Return evidence as odds; what speaks against the claim stands behind the colon."""
    said = odds(abs(log10) * TEN)
    return said if log10 >= 0 else " : ".join(reversed(said.rsplit(" : ", 1)))


_STRATA = (
    column("gate"),
    column("stratum"),
    Column("share", lambda item: f"{item['share']:.0%}"),
    _pair("at_step", "canary"),
    _pair("at_step", "stable"),
    _pair("total", "canary"),
    _pair("total", "stable"),
    Column("stable guess", lambda item: f"{item['stable_guess']:.2%}"),
    Column("harm", lambda item: _odds(item["harm_log10"])),
    Column("safe", lambda item: _odds(item["safe_log10"])),
    Column("at most worse", lambda item: "" if item["at_most_worse"] is None else f"{item['at_most_worse']:.1%}"),
)


def _figure(name: str) -> Column:
    return Column(name, lambda item: "" if item.get(name) is None else f"{item[name]:g}")


_NUMBERS = (
    column("gate"),
    column("source"),
    Column("window's end", lambda item: item.get("end")),
    _figure("canary"),
    _figure("stable"),
    Column("has to be", lambda item: item["bounds"]),
    Column("lies", lambda item: "" if "end" not in item else item["flaw"] or "within"),
    column("trouble"),
)


def _rows(explained: Item, source: str) -> Iterator[str]:
    """Yield the rows of the counts of ``source``: with them the evidence can be computed again.

    What was counted late stands in the row of the window in which it began.
    """
    weight = 0
    counted: dict[datetime, tuple[int, list[int]]] = {}
    starts: list[datetime] = []
    for decision in explained["decisions"]:
        for each in decision["measurements"]:
            if each["source"] == source:
                starts.append(datetime.fromisoformat(each["start"]))
                _, counts = counted.setdefault(datetime.fromisoformat(each["end"]), (weight, [0, 0, 0, 0]))
                counts[:] = map(operator.add, counts, _counted(each))
        weight = (decision["weights"] or {}).get(explained["canary"], 0)
    for end, (of, counts) in sorted(counted.items()):
        yield ",".join(map(str, (f"{(end - starts[0]).total_seconds():.6f}", of, *counts)))


def _counted(measurement: Item) -> Iterator[int]:
    for version in ("canary", "stable"):
        yield measurement[version]["calls"]
        yield measurement[version]["failures"]


def _words(phase: str) -> str:
    return phase.replace("_", " ")
