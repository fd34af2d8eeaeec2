"""``agent list``, ``show`` and ``versions``: what there is."""

from typing import Annotated

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.output import Item, Output, OutputOption, show_item, show_items

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
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the agents of the project, of every kind, with their routing."""
    from foundry_rollouts.cli.agent.views import AGENTS, agent_item

    async with project(project_endpoint, credential) as cloud:
        found = [agent_item(agent) async for agent in cloud.api.agents.all()]
        show_items(found, AGENTS, output, "the project has no agents")


@list_commands.command(
    "show",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent show support-eu",
        "foundry-rollouts agent show support-eu --version 7 --output yaml",
    ),
)
@waits
async def show(
    agent: AgentArgument,
    version: Annotated[
        str | None, typer.Option(help="Show this version instead, with the reason if it failed.")
    ] = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show an agent, or one of its versions."""
    from foundry_rollouts.cli.agent.views import AGENT, VERSION, agent_item, version_item

    async with project(project_endpoint, credential) as cloud:
        if version:
            show_item(version_item(await cloud.api.versions.one(agent, version)), VERSION, output)
        else:
            show_item(agent_item(await cloud.api.agents.one(agent)), AGENT, output)


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
