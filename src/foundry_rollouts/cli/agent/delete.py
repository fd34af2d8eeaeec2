"""``agent delete``: a version, or an agent with all it has."""

from typing import Annotated

import typer

from foundry_rollouts.cli.agent.confirm import confirm
from foundry_rollouts.cli.agent.hold import refuse_held
from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.options import AskedServerOption
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import UsageError

delete_commands = group("Delete agents and versions.")


@delete_commands.command(
    "delete",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent delete support-eu --version 6",
        "foundry-rollouts agent delete support-eu --force --yes",
    ),
)
@waits
async def delete(
    agent: AgentArgument,
    version: Annotated[str | None, typer.Option(help="Delete this version or draft only.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="End live sessions; without it, live sessions are an error.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask for confirmation; required without a terminal.")
    ] = False,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    server: AskedServerOption = None,
) -> None:
    """Delete an agent with all its versions, or one version.

    A version that the routing names is not deleted: its sessions would have nowhere to go. Neither is one that a person
    holds, nor its agent, where --server names the service that knows of it.
    """
    async with project(project_endpoint, credential) as cloud:
        seen = await cloud.agent(agent)
        what = f"version {version} of {agent}" if version else f"agent {agent} with all its versions"
        await refuse_held(agent, version, server)
        if version and (weight := seen.routing.weight(version)):
            how = f"route away first with 'foundry-rollouts agent route {agent} VERSION=100'"
            raise UsageError(f"version {version} gets {weight}% of the new sessions of {agent}: {how}")
        confirm(f"delete {what}" + (" and end its sessions" if force else ""), yes=yes)
        if version:
            await cloud.api.versions.delete(agent, version, force=force)
        else:
            await cloud.api.agents.delete(agent, force=force)
    say(f"{what} is deleted")
