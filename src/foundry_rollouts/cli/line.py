"""``foundry-rollouts line``: stop every rollout where it stands, and let them go on."""

from datetime import datetime
from typing import Annotated

import typer

from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.options import DEFAULT_SERVER, AuthorOption, ServerOption, user
from foundry_rollouts.cli.output import Item, Output, OutputOption, column, say, show_item, show_items
from foundry_rollouts.cli.until import ForOption, UntilOption, end_of

line = group("Stop every rollout where it stands, and let them go on; going back is never stopped.")

ReasonOption = Annotated[str, typer.Option("--reason", help="The reason, for everybody who has to wait.")]
WhyOption = Annotated[str | None, typer.Option("--reason", help="The reason, for the history.")]
ProjectOption = Annotated[
    str | None, typer.Option("--project", help="Only the agents of this project, where there are several.")
]

_SHOW = tuple(map(column, ("author", "reason", "project", "since", "until")))
_ENDED = tuple(map(column, ("author", "reason", "project", "since", "ended_at", "ended_by")))


@line.command(
    "stop",
    cls=Command,
    epilog=examples(
        'foundry-rollouts line stop --reason "incident 4711" --for 4h',
        'foundry-rollouts line stop --reason "year end" --until 2126-12-24T18:00+01:00',
        'foundry-rollouts line stop --reason "network change" --project shop',
    ),
)
@waits
async def stop(
    reason: ReasonOption,
    until: UntilOption = None,
    span: ForOption = None,
    project: ProjectOption = None,
    author: AuthorOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Stop the line: from now on no rollout begins or rises, until it is started or the time is over.

    Rollbacks, aborts and disables go through. Several people may stop it: 'line start' ends every stop.
    """
    from foundry_rollouts.cli.api import OpsApi

    wanted = {"reason": reason, "until": _text(end_of(until, span)), "project": project, "author": author or user()}
    async with OpsApi.at(server) as api:
        answer = await api.line("stop", wanted)
    say(str(answer["answer"]))


@line.command(
    "start",
    cls=Command,
    epilog=examples(
        'foundry-rollouts line start --reason "incident 4711 is over"',
        "foundry-rollouts line start --project shop",
    ),
)
@waits
async def start(
    reason: WhyOption = None,
    project: ProjectOption = None,
    author: AuthorOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Start the line again, whoever stopped it; one that is not stopped stays as it is.

    A project whose own line is stopped is started by its name.
    """
    from foundry_rollouts.cli.api import OpsApi

    async with OpsApi.at(server) as api:
        answer = await api.line("start", {"reason": reason, "project": project, "author": author or user()})
    say(str(answer["answer"]))


@line.command(
    "show",
    cls=Command,
    epilog=examples(
        "foundry-rollouts line show", "foundry-rollouts line show --ended", "foundry-rollouts line show -o json"
    ),
)
@waits
async def show(
    ended: Annotated[bool, typer.Option("--ended", help="The stops that ended last.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show who stopped the line, why, and until when."""
    from foundry_rollouts.cli.api import OpsApi

    async with OpsApi.at(server) as api:
        found: Item = await api.line()
    if output is not Output.TABLE:
        show_item(found, (), output)
    elif ended:
        show_items(found["ended"], _ENDED, output, "nobody has stopped it yet")
    else:
        show_items(found["stops"], _SHOW, output, "the line is running")


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
