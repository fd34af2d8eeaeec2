"""``foundry-rollouts policy``: check policy files before the service reads them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from foundry_rollouts.cli.backtest import BACKTEST_EXAMPLES, backtest
from foundry_rollouts.cli.commands import Command, examples, group
from foundry_rollouts.cli.output import Column, Output, OutputOption, column, show_items
from foundry_rollouts.cli.policy_diff import APPLY_EXAMPLES, DIFF_EXAMPLES, apply, diff
from foundry_rollouts.cli.policy_plan import PLAN_EXAMPLES, RpsOption, StableRateOption, plan, warnings_in
from foundry_rollouts.core.forecast.expectation import Traffic

policy = group("Check, show, compare, apply, forecast and backtest policy files.")

PathsArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="[PATH]...", help="Files or folders; default: policies/.")
]
PoliciesOption = Annotated[
    Path, typer.Option("--policies", envvar="FOUNDRY_ROLLOUTS_POLICIES", help="A file or folder of policies.")
]


@policy.command(
    "lint",
    cls=Command,
    epilog=examples(
        "foundry-rollouts policy lint",
        "foundry-rollouts policy lint deploy/policies extra.yaml",
        "foundry-rollouts policy lint --strict --rps 20 --stable-rate 0.5%",
    ),
)
def lint(
    paths: PathsArgument = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also fail on warnings.")] = False,
    rps: RpsOption = 2.0,
    stable_rate: StableRateOption = 0.01,
) -> None:
    """Check policy files; mistakes are shown as FILE:LINE:COLUMN: FIELD: WHAT: HOW TO FIX.

    What is valid but risky at the agents' traffic is a warning, on stderr.
    """
    from foundry_rollouts import clock
    from foundry_rollouts.errors import PolicyError, UsageError
    from foundry_rollouts.policies.calendars import calendar_problems
    from foundry_rollouts.policies.load import policies_in

    wanted = paths or [Path("policies")]
    found = policies_in(*wanted)
    if not found:
        raise PolicyError((f"{wanted[0]}:1:1: there is no policy here: write one, as NAME.yaml",))
    if problems := calendar_problems(found, clock.now()):
        raise PolicyError(tuple(problems))
    found_out = list(warnings_in(wanted, Traffic(rps, stable_rate)))
    for line, _ in found_out:
        typer.echo(line, err=True)
    warnings = [line for line, is_risky in found_out if is_risky]
    if strict and warnings:
        count = f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}"
        raise UsageError(f"the policies are valid but risky, {count}: fix what is listed above")
    typer.echo(f"{len(found)} {'policy is' if len(found) == 1 else 'policies are'} in order")


@policy.command(
    "schema",
    cls=Command,
    epilog=examples(
        "foundry-rollouts policy schema > policy.schema.json",
        "and in the policy's first line: # yaml-language-server: $schema=policy.schema.json",
    ),
)
def schema(
    prompts: Annotated[bool, typer.Option("--prompts", help="The schema of prompts files.")] = False,
) -> None:
    """Print the JSON schema of policy files, for editors."""
    from foundry_rollouts.policies.export import policy_schema, prompts_schema

    typer.echo(prompts_schema() if prompts else policy_schema(), nl=False)


@policy.command(
    "show",
    cls=Command,
    epilog=examples(
        "foundry-rollouts policy show",
        "foundry-rollouts policy show support-agent --output yaml",
        "foundry-rollouts policy show --agent support-eu",
    ),
)
def show(
    name: Annotated[str | None, typer.Argument(help="The policy's name.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="The policy that governs this agent.")] = None,
    policies: PoliciesOption = Path("policies"),
    output: OutputOption = Output.TABLE,
) -> None:
    """Show policies with every default."""
    from foundry_rollouts.errors import NotFoundError
    from foundry_rollouts.policies.export import as_written
    from foundry_rollouts.policies.folder import PolicyFolder

    folder = PolicyFolder(policies)
    found = [folder.named(name)] if name else list(folder.all())
    if agent:
        named = folder.policy_for(agent)
        if named is None:
            raise NotFoundError(f"no policy names the agent {agent}: add it to the agents of one")
        found = [each for each in found if each == named]
    show_items([as_written(each) for each in found], _COLUMNS, output, "there are no policies")


policy.command("plan", cls=Command, epilog=examples(*PLAN_EXAMPLES))(plan)
policy.command("backtest", cls=Command, epilog=examples(*BACKTEST_EXAMPLES))(backtest)
policy.command("diff", cls=Command, epilog=examples(*DIFF_EXAMPLES))(diff)
policy.command("apply", cls=Command, epilog=examples(*APPLY_EXAMPLES))(apply)


def _steps(item: Any) -> str:
    return ", ".join(str(step.get("weight", "approval")) for step in item["steps"])


def _gates(item: Any) -> str:
    return ", ".join(name for gate in item["gates"] for name in gate)


_COLUMNS = (
    column("name"),
    column("agents"),
    column("trigger"),
    Column("steps", _steps),
    Column("gates", _gates),
    column("deadline"),
    column("on-failure"),
    column("on-no-evidence"),
)
