"""``agent logs``: what sessions write, as a good ``tail`` shows it."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.options import parse_span
from foundry_rollouts.errors import UsageError

logs_commands = group("Read logs.")


class Form(StrEnum):
    """How lines are written."""

    TEXT = "text"
    JSON = "json"


@logs_commands.command(
    "logs",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent logs support-eu --follow",
        "foundry-rollouts agent logs support-eu --version 8 --since 10m",
        "foundry-rollouts agent logs support-eu --session 5c7a9e01 --follow --output json | jq -r .text",
    ),
)
@waits
async def logs(
    agent: AgentArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow new lines, of new sessions too, until Ctrl-C.")
    ] = False,
    version: Annotated[str | None, typer.Option(help="Only sessions of this version.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    since: Annotated[
        timedelta | None, typer.Option("--since", parser=parse_span, metavar="SPAN", help="Only lines newer than this.")
    ] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="Text, or one JSON object per line.")] = Form.TEXT,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
) -> int:
    """Show what live sessions write to stdout and stderr.

    The cloud streams the logs of live sessions and keeps none of ended ones. Streams that it ends after some minutes
    are reopened, and no line is shown twice. Messages of the platform go to stderr. At most 50 sessions are read, the
    newest live ones.
    """
    from foundry_rollouts import clock
    from foundry_rollouts.cli.agent.tail import Lines, Wanted, follow_all, follow_one, read_all
    from foundry_rollouts.ports import PROMPT

    oldest = clock.now() - since if since else None
    lines = Lines(is_json=output is Form.JSON, is_one=session is not None, oldest=oldest)
    wanted = Wanted(agent, version, session)
    async with project(project_endpoint, credential) as cloud:
        if (await cloud.agent(agent)).kind == PROMPT:
            raise UsageError(f"{agent} is a prompt agent: it runs in no container, so there are no logs")
        if not follow:
            return await read_all(cloud, wanted, lines)
        return await (follow_one(cloud, wanted, lines) if session else follow_all(cloud, wanted, lines))
