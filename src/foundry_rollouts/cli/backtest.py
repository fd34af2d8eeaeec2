"""``foundry-rollouts policy backtest``: what a policy would have made of counts of the past."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from foundry_rollouts.cli.output import Column, Item, Output, OutputOption, column, show_items
from foundry_rollouts.core.policy import Policy

BACKTEST_EXAMPLES = (
    "foundry-rollouts policy backtest --policy policies/support.yaml --counts last-week.csv --output json",
    "foundry-rollouts policy backtest --policy policies/support.yaml",
)

FileOption = Annotated[Path, typer.Option("--policy", metavar="FILE", help="The policy file.")]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Which of its policies, when the file holds more than one.")
]
CountsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        help="Judge these counts; columns: seconds, canary_weight, canary_calls, canary_failures, stable_calls, "
        "stable_failures.",
    ),
]


def backtest(
    policy: FileOption,
    name: NameOption = None,
    counts: CountsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Judge what was counted in the past under another policy."""
    from foundry_rollouts.cli.counts import intervals_in
    from foundry_rollouts.core.replay import replayed

    chosen = policy_in(policy, name)
    if counts:
        show_lines((_row(asdict(each)) for each in replayed(chosen, intervals_in(counts))), _JUDGED, output)


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
    return judged | {
        "seconds": int(seconds) if seconds.is_integer() else seconds,
        "verdict": judged["verdict"].value,
    }


def _percent(item: Item) -> str | None:
    bound = item["at_most_worse"]
    return None if bound is None else f"{bound * 100:g} points"


_JUDGED = (
    column("seconds"),
    Column("harm log10", lambda item: f"{item['harm_log10']:.2f}"),
    Column("safe log10", lambda item: f"{item['safe_log10']:.2f}"),
    Column("at most worse", _percent),
    *map(column, ("verdict", "decision", "because")),
)
