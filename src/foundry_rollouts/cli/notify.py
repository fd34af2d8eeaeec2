"""``foundry-rollouts notify``: who is notified, and whether it reaches them."""

from typing import Annotated

import typer

from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.options import DEFAULT_SERVER, ServerOption
from foundry_rollouts.cli.output import Column, Output, OutputOption, column, say, show_items

notify = group("Who is notified.")

_LIST = (
    *map(column, ("name", "kind", "severity")),
    Column("policies", lambda item: ", ".join(item["policies"]) or "all"),
    Column("phases", lambda item: ", ".join(item["phases"]) or "all"),
    *map(column, ("quiet", "pending", "given_up", "trouble")),
)


@notify.command(
    "list", cls=Command, epilog=examples("foundry-rollouts notify list", "foundry-rollouts notify list -o json")
)
@waits
async def list_targets(server: ServerOption = DEFAULT_SERVER, output: OutputOption = Output.TABLE) -> None:
    """List the targets of notifications, what each hears, and why messages do not reach it."""
    from foundry_rollouts.cli.api import OpsApi

    async with OpsApi.at(server) as api:
        items = await api.targets()
    show_items(items, _LIST, output, "there is no target: name a file of them in FOUNDRY_ROLLOUTS_NOTIFY_TARGETS")


@notify.command("test", cls=Command, epilog=examples("foundry-rollouts notify test on-call"))
@waits
async def send_test(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The target's name, as the list shows it.")],
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Send a test message to a target at once, whatever it is to hear and whatever the hour."""
    from foundry_rollouts.cli.api import OpsApi

    async with OpsApi.at(server) as api:
        await api.test_target(target)
    say(f"target {target} took the message: check that it arrived")
