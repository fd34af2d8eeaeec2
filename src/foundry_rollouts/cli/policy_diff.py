"""``foundry-rollouts policy diff`` and ``policy apply``: from a repository into the folder that a service reads."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foundry_rollouts.cli.commands import waits
from foundry_rollouts.cli.options import AskedServerOption, ServerOption, parse_span
from foundry_rollouts.cli.output import Output, OutputOption, say

if TYPE_CHECKING:
    from foundry_rollouts.core.model.policy import Policy
    from foundry_rollouts.policies.compare import PolicyChange, Stated

DIFF_EXAMPLES = (
    "foundry-rollouts policy diff",
    "foundry-rollouts policy diff deploy/policies --server https://rollouts.example.com",
    "foundry-rollouts policy diff policies --against released/policies --exit-code",
)
APPLY_EXAMPLES = (
    "foundry-rollouts policy apply policies --to /etc/foundry-rollouts/policies --check",
    "foundry-rollouts policy apply policies --to /etc/foundry-rollouts/policies --server http://127.0.0.1:8080",
    "foundry-rollouts policy apply policies --to /etc/foundry-rollouts/policies --prune",
)
#: How long the service may take until it has read what was applied.
LOADED_WITHIN = timedelta(minutes=1)
SIGNS = {"added": "+", "removed": "-", "changed": "~"}

SourceArgument = Annotated[Path, typer.Argument(metavar="[PATH]", help="A file or folder of policies.")]
WithinOption = Annotated[
    timedelta,
    typer.Option("--timeout", parser=parse_span, metavar="SPAN", show_default="1m", help="The longest wait for it."),
]


@waits
async def diff(
    path: SourceArgument = Path("policies"),
    against: Annotated[
        Path | None, typer.Option("--against", help="Compare with this file or folder, and ask no service.")
    ] = None,
    server: ServerOption = "http://127.0.0.1:8080",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 when there are differences, as git diff does.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what policy files change against the policies in force, key by key; defaults count as written."""
    from foundry_rollouts.policies.compare import compare, is_any
    from foundry_rollouts.policies.load import policies_in

    after = _stated(policies_in(path))
    before = _stated(policies_in(against)) if against else await _in_force(server)
    changes = compare(before, after)
    _show(changes, output)
    if exit_code and is_any(changes):
        raise typer.Exit(1)


@waits
async def apply(
    to: Annotated[
        Path, typer.Option("--to", envvar="FOUNDRY_ROLLOUTS_POLICIES", help="The folder that the service reads.")
    ],
    path: SourceArgument = Path("policies"),
    check: Annotated[bool, typer.Option("--check", help="Say what would be done, and write nothing.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Also remove policy files that PATH does not have.")] = False,
    server: AskedServerOption = None,
    timeout: WithinOption = LOADED_WITHIN,
    output: OutputOption = Output.TABLE,
) -> None:
    """Bring policy files into the folder that the service reads, each as a whole; nothing unless all is in order.

    With --server, wait until that service says that it has them in force. Rollouts in progress keep the policy they
    began with.
    """
    from foundry_rollouts.policies.apply import carry_out, planned
    from foundry_rollouts.policies.compare import compare

    plan = planned(path, to, is_pruning=prune)
    after = _stated(each.policy for each in plan.after)
    changes = compare(_stated(each.policy for each in plan.before), after)
    _show(changes, output)
    files = f"{len(plan.copies)} files to write, {len(plan.removed)} to remove"
    if check:
        say(f"checked: {files}; nothing was written", err=True)
        return
    carry_out(plan)
    say(f"applied: {len(plan.copies)} files written, {len(plan.removed)} removed", err=True)
    if server:
        await _until_in_force(server, {name: each.hash for name, each in after.items()}, timeout)


async def _until_in_force(server: str, wanted: Mapping[str, str], within: timedelta) -> None:
    """Wait until the service has ``wanted`` in force. Raises TimeoutError, which ends with exit code 4."""
    import asyncio

    from foundry_rollouts.cli.api import OpsApi

    until = time.monotonic() + within.total_seconds()
    async with OpsApi.at(server) as api:
        while True:
            found = await api.policies()
            have = {each["name"]: each.get("hash") for each in found["items"]}
            if wanted.items() <= have.items():
                say(f"in force at {server}: {len(wanted)} policies", err=True)
                return
            if time.monotonic() >= until:
                missing = ", ".join(sorted(name for name, said in wanted.items() if have.get(name) != said))
                problems = "; ".join(found["problems"]) or "it names no problem"
                say(f"error: {server} does not have in force what was applied: {missing} ({problems}): check", err=True)
                raise typer.Exit(4)
            await asyncio.sleep(0.5)


async def _in_force(server: str) -> dict[str, "Stated"]:
    """Return the policies that a service has in force."""
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.policies.compare import Stated

    async with OpsApi.at(server) as api:
        names = [each["name"] for each in (await api.policies())["items"]]
        shown = [await api.policy(name) for name in names]
    return {each["name"]: Stated(each["hash"], each["written"]) for each in shown}


def _stated(policies: "Iterable[Policy]") -> dict[str, "Stated"]:
    from foundry_rollouts.core.model.policy_hash import policy_hash
    from foundry_rollouts.policies.compare import Stated
    from foundry_rollouts.policies.export import as_written

    # Through JSON, as a service says it: no tuples, no enumerations.
    return {each.name: Stated(policy_hash(each), json.loads(json.dumps(as_written(each)))) for each in policies}


def _show(changes: "Sequence[PolicyChange]", output: Output) -> None:
    """Print a line for each policy and each key that differs, or all of it for programs."""
    if output is not Output.TABLE:
        from foundry_rollouts.cli.output import show_items

        show_items([asdict(each) for each in changes], (), output, "")
        return
    for each in changes:
        if sign := SIGNS.get(each.change):
            say(f"{sign} {each.name}: {each.change}{_hashes(each)}")
        for key in each.keys:
            say(f"    {key.key}: {_shown(key.before)} -> {_shown(key.after)}")
    same = sum(each.change == "unchanged" for each in changes)
    say(f"{len(changes) - same} of {len(changes)} policies differ", err=True)


def _hashes(change: "PolicyChange") -> str:
    known = [said for said in (change.before, change.after) if said]
    return f" ({' -> '.join(known)})"


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
