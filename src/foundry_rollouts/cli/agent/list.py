"""``agent list``, ``show`` and ``versions``: what there is."""

from typing import Annotated

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.options import DEFAULT_SERVER, AskedServerOption
from foundry_rollouts.cli.output import Item, Output, OutputOption, show_item, show_items
from foundry_rollouts.errors import UsageError

list_commands = group("List and show agents.")


@list_commands.command(
    "list",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent list",
        "foundry-rollouts agent list --output json | jq -r '.[].name'",
    ),
)
@waits
async def list_agents(
    server: AskedServerOption = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the agents of the project, of every kind, with their routing.

    With --server or FOUNDRY_ROLLOUTS_SERVER, agents with a rollout that ended badly and that nobody acknowledged come
    first, with what users have instead and why.
    """
    from foundry_rollouts.cli.agent.unacknowledged import BAD_ENDS, on_top
    from foundry_rollouts.cli.agent.views import AGENTS, agent_item

    async with project(project_endpoint, credential) as cloud:
        found = [agent_item(agent) async for agent in cloud.api.agents.all()]
    if server is None:
        show_items(found, AGENTS, output, "the project has no agents")
    else:
        show_items(await on_top(found, server), (*AGENTS, BAD_ENDS), output, "the project has no agents")


@list_commands.command(
    "show",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent show support-eu",
        "foundry-rollouts agent show support-eu --version 7 --output yaml",
        "foundry-rollouts agent show support-eu --check --server http://127.0.0.1:8080",
    ),
)
@waits
async def show(
    agent: AgentArgument,
    version: Annotated[
        str | None, typer.Option(help="Show this version instead, with the reason if it failed.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit with 3 while a rollout that ended badly is not acknowledged."),
    ] = False,
    server: AskedServerOption = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Show an agent, or one of its versions.

    With --server or FOUNDRY_ROLLOUTS_SERVER, also the rollout that ended badly and that nobody acknowledged: what users
    have, what was released, and why. --check asks the service at --server, else the one on this machine.
    """
    if version and check:
        raise UsageError("--check is about the agent: leave out --version")
    from foundry_rollouts.cli.agent.unacknowledged import BAD_ENDS, bad_end_of, said_of
    from foundry_rollouts.cli.agent.views import AGENT, VERSION, agent_item, version_item

    async with project(project_endpoint, credential) as cloud:
        if version:
            show_item(version_item(await cloud.api.versions.one(agent, version)), VERSION, output)
            return 0
        item = agent_item(await cloud.api.agents.one(agent))
    if server is None and not check:
        show_item(item, AGENT, output)
        return 0
    item |= await bad_end_of(agent, server or DEFAULT_SERVER, must_know=check)
    show_item(item, (*AGENT, BAD_ENDS), output)
    return said_of(item) if check else 0


@list_commands.command(
    "versions",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent versions support-eu",
        "foundry-rollouts agent versions support-eu --drafts --output json",
    ),
)
@waits
async def versions(
    agent: AgentArgument,
    drafts: Annotated[bool, typer.Option("--drafts", help="Include drafts.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most to list.")] = 50,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the versions of an agent, the newest first."""
    from contextlib import aclosing

    from foundry_rollouts.cli.agent.views import VERSIONS, version_item

    found: list[Item] = []
    async with (
        project(project_endpoint, credential) as cloud,
        aclosing(cloud.api.versions.all(agent, drafts=drafts)) as newest_first,
    ):
        async for version in newest_first:
            found.append(version_item(version))
            if len(found) == limit:
                break
    show_items(found, VERSIONS, output, f"{agent} has no versions")
