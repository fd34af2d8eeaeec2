"""``foundry-rollouts policy backtest``: what a policy would have made of counts of the past."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from foundry_rollouts.cli.commands import waits
from foundry_rollouts.cli.db import DatabaseOption
from foundry_rollouts.cli.output import Column, Item, Output, OutputOption, column, show_items
from foundry_rollouts.core.model.policy import Policy

BACKTEST_EXAMPLES = (
    "foundry-rollouts policy backtest --policy policies/support.yaml --counts last-week.csv --output json",
    "foundry-rollouts policy backtest --policy policies/support.yaml",
)

FileOption = Annotated[Path, typer.Option("--policy", metavar="FILE", help="The policy file.")]
NameOption = Annotated[str | None, typer.Option("--name", help="The policy, if the file holds more than one.")]
CountsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        help="Judge these counts; columns: seconds, canary_weight, canary_calls, canary_failures, stable_calls, "
        "stable_failures.",
    ),
]


@waits
async def backtest(
    policy: FileOption,
    name: NameOption = None,
    counts: CountsOption = None,
    agent: Annotated[str | None, typer.Option(help="Rollouts of this agent only.")] = None,
    database_url: DatabaseOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Judge past counts under another policy.

    Without --counts: the rollouts in the history database that have ended, newest first.
    """
    from foundry_rollouts.cli.counts_csv import intervals_in
    from foundry_rollouts.core.replay.counts import replayed
    from foundry_rollouts.errors import UsageError

    chosen = policy_in(policy, name)
    if counts is None:
        await _of_rollouts(chosen, agent, database_url, output)
    elif agent or database_url:
        raise UsageError("--counts is judged by itself: leave out --agent and --database-url")
    else:
        show_lines((_row(asdict(each)) for each in replayed(chosen, intervals_in(counts))), _JUDGED, output)


async def _of_rollouts(policy: Policy, agent: str | None, database_url: str | None, output: Output) -> None:
    from foundry_rollouts.operations import backtest
    from foundry_rollouts.settings import load_database_url
    from foundry_rollouts.store.store import SqlStore

    # A reader takes no leases: neither its name nor how long it would hold one matters.
    store = SqlStore(load_database_url(database_url), replica="backtest", lease=timedelta(seconds=1))
    try:
        await store.check()
        found = [_plain(asdict(each)) async for each in backtest.backtests(store, policy, agent)]
    finally:
        await store.close()
    show_lines(found, _WOULD, output)


def policy_in(file: Path, name: str | None) -> Policy:
    """Return the policy of ``file`` that is meant. Raises UsageError when that is not clear."""
    from foundry_rollouts.errors import UsageError
    from foundry_rollouts.policies.load import policies_in

    policies = policies_in(file)
    found = [policy for policy in policies if name in {None, policy.name}]
    if len(found) != 1:
        known = ", ".join(policy.name for policy in policies) or "none"
        raise UsageError(f"{file}: which policy is meant is not clear, it holds {known}: name one with --name")
    return found[0]


def show_lines(items: Iterable[Item], columns: Iterable[Column], output: Output) -> None:
    """Write ``items`` as they come, one JSON object a line; in other forms as any listing."""
    if output is not Output.JSON:
        show_items(list(items), list(columns), output, "there is nothing to judge yet")
        return
    for item in items:
        typer.echo(json.dumps(item, ensure_ascii=False))


def _row(judged: dict[str, Any]) -> Item:
    seconds = judged["seconds"]
    return _plain(judged) | {"seconds": int(seconds) if seconds.is_integer() else seconds}


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return ``item`` with words in place of what stands for them here."""
    return {name: value.value if isinstance(value, Enum) else value for name, value in item.items()}


def _percent(item: Item) -> str | None:
    bound = item["at_most_worse"]
    return None if bound is None else f"{bound * 100:g} points"


def _hundredths(name: str) -> Callable[[Item], str]:
    # Adding nothing turns a minus nothing into nothing.
    return lambda item: f"{round(item[name], 2) + 0.0:.2f}"


_JUDGED = (
    column("seconds"),
    Column("harm log10", _hundredths("harm_log10")),
    Column("safe log10", _hundredths("safe_log10")),
    Column("at most worse", _percent),
    *map(column, ("verdict", "decision", "because")),
)


def _failed(calls: str, failures: str) -> Callable[[Item], str]:
    return lambda item: f"{item[failures]} of {item[calls]}"


_WOULD = (
    *map(column, ("rollout", "agent", "canary")),
    Column("happened", lambda item: _when(item["happened"], item["happened_after_seconds"], None)),
    Column("failed", _failed("happened_canary_calls", "happened_canary_failures")),
    Column("would have", lambda item: _when(item["would"], item["after_seconds"], item["weight"])),
    Column("failed by then", _failed("canary_calls", "canary_failures")),
    column("because"),
)


def _when(what: str, seconds: float | None, weight: int | None) -> str:
    where = f" at {weight}%" if weight else ""
    when = "" if seconds is None else f" after {_span(seconds)}"
    return f"{what.replace('_', ' ')}{where}{when}"


def _span(seconds: float) -> str:
    from foundry_rollouts.policies.units import span_text

    return span_text(timedelta(seconds=round(seconds)))
