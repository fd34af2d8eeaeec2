"""``agent hold``, ``holds`` and ``unhold``: a deliberate old version stays. They talk to the service."""

import os
from typing import Annotated, Any

import typer

from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.options import DEFAULT_SERVER, AuthorOption, ServerOption, user
from foundry_rollouts.cli.output import Output, OutputOption, column, say, show_item, show_items
from foundry_rollouts.cli.until import ForOption, UntilOption, end_of

hold_commands = group("Hold agents at a version.")

AgentName = Annotated[
    str, typer.Argument(metavar="AGENT", help="The agent's name, or PROJECT/AGENT where there are several projects.")
]

_LIST = tuple(map(column, ("agent", "version", "author", "reason", "since", "until")))


@hold_commands.command(
    "hold",
    cls=Command,
    epilog=examples(
        'foundry-rollouts agent hold support-eu --version 6 --reason "version 7 is too slow" --for 168h',
        'foundry-rollouts agent hold support-eu --version 6 --reason "the fair" --until 2126-12-24T18:00+01:00',
    ),
)
@waits
async def hold(
    agent: AgentName,
    version: Annotated[str, typer.Option(help="The version that stays; it has to be the stable one.")],
    reason: Annotated[str, typer.Option(help="The reason, for everybody who has to wait.")],
    until: UntilOption = None,
    span: ForOption = None,
    author: AuthorOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Hold an agent at its stable version: newer ones wait, and say who holds it, why, and until when.

    A rollout under way waits at its step, and may be aborted. The version is not deleted by 'agent delete'.
    """
    end = end_of(until, span)
    wanted = {"version": version, "reason": reason, "until": end.isoformat() if end else None}
    await _ask(server, agent, "hold", {**wanted, "author": author or user()})


@hold_commands.command(
    "unhold",
    cls=Command,
    epilog=examples('foundry-rollouts agent unhold support-eu --reason "version 8 is quick"'),
)
@waits
async def unhold(
    agent: AgentName,
    reason: Annotated[str | None, typer.Option(help="The reason, for the history.")] = None,
    author: AuthorOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Let an agent go on, whoever holds it; one that is not held stays as it is."""
    await _ask(server, agent, "unhold", {"reason": reason, "author": author or user()})


@hold_commands.command(
    "holds",
    cls=Command,
    epilog=examples("foundry-rollouts agent holds", "foundry-rollouts agent holds -o json"),
)
@waits
async def holds(server: ServerOption = DEFAULT_SERVER, output: OutputOption = Output.TABLE) -> None:
    """List which agents are held, at which version, by whom, why, and until when."""
    from foundry_rollouts.cli.api import OpsApi

    async with OpsApi.at(server) as api:
        found = await api.holds()
    if output is Output.TABLE:
        show_items(found["items"], _LIST, output, "no agent is held")
    else:
        show_item(found, (), output)


async def _ask(server: str, agent: str, verb: str, wanted: dict[str, Any]) -> None:
    from foundry_rollouts.cli.api import OpsApi

    async with OpsApi.at(server) as api:
        answer = await api.hold(agent, verb, wanted)
    say(str(answer["answer"]))


async def refuse_held(agent: str, version: str | None, server: str | None) -> None:
    """Raise ConflictError where the service at ``server`` says that a person holds what is to be deleted.

    Without a server nobody is asked. One that ``--server`` names and that cannot say raises what went wrong; where only
    the environment names it, that is a warning: the service may be gone for good.
    """
    from foundry_rollouts.cli.agent.project import known_as
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.errors import ConflictError, RolloutsError

    if server is None:
        return
    name = known_as(agent)
    try:
        async with OpsApi.at(server) as api:
            items = (await api.holds())["items"]
    except RolloutsError as error:
        if os.environ.get("FOUNDRY_ROLLOUTS_SERVER") != server:
            raise
        say(f"warning: nobody could say whether {agent} is held: {error}", err=True)
        return
    found = [each for each in items if each["agent"] == name and version in {None, each["version"]}]
    if found:
        what = f"version {version} of {agent}" if version else f"agent {agent}"
        how = f"'foundry-rollouts agent unhold {name}' ends that"
        raise ConflictError(f"{what} is not deleted: {found[0]['because']}; {how}")
