"""``agent sessions``: keeping house with conversations."""

from contextlib import aclosing
from typing import Annotated

import typer

from foundry_rollouts.cli.agent.confirm import confirm
from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.output import Item, Output, OutputOption, say, show_item, show_items

sessions = group("Conversations, each bound to one version when it is created.")

SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]


@sessions.command(
    "list",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent sessions list support-eu",
        "foundry-rollouts agent sessions list support-eu --version 8 --output json",
    ),
)
@waits
async def list_sessions(
    agent: AgentArgument,
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most to list.")] = 100,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the sessions of an agent that you may see, the newest first."""
    from foundry_rollouts.cli.agent.views import SESSIONS, session_item

    found: list[Item] = []
    async with (
        project(project_endpoint, credential) as cloud,
        aclosing(cloud.api.sessions.all(agent)) as newest_first,
    ):
        async for session in newest_first:
            if version in {None, session.version}:
                found.append(session_item(session))
            if len(found) == limit:
                break
    show_items(found, SESSIONS, output, f"{agent} has no such sessions")


@sessions.command("show", cls=Command, epilog=examples("foundry-rollouts agent sessions show support-eu 5c7a9e01"))
@waits
async def show(
    agent: AgentArgument,
    session: SessionArgument,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a session: its version and status."""
    from foundry_rollouts.cli.agent.views import SESSIONS, session_item

    async with project(project_endpoint, credential) as cloud:
        show_item(session_item(await cloud.api.sessions.one(agent, session)), SESSIONS, output)


@sessions.command(
    "create",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent sessions create support-eu",
        "foundry-rollouts agent sessions create support-eu --version 8 --id check-4711",
    ),
)
@waits
async def create(
    agent: AgentArgument,
    version: Annotated[str | None, typer.Option(help="The version, drafts included; else the routing decides.")] = None,
    session: Annotated[
        str | None, typer.Option("--id", help="Its id, 8 to 128 letters, digits, - and _; else the cloud chooses.")
    ] = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Open a session, or use the existing one with that id."""
    from foundry_rollouts.cli.agent.views import SESSIONS, session_item

    async with project(project_endpoint, credential) as cloud:
        show_item(session_item(await cloud.api.sessions.create(agent, version, session)), SESSIONS, output)


@sessions.command("stop", cls=Command, epilog=examples("foundry-rollouts agent sessions stop support-eu 5c7a9e01"))
@waits
async def stop(
    agent: AgentArgument,
    session: SessionArgument,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
) -> None:
    """Stop a session's compute and keep its files; the next call starts it again, on the version routed then."""
    async with project(project_endpoint, credential) as cloud:
        await cloud.api.sessions.stop(agent, session)
    say(f"session {session} is stopped")


@sessions.command(
    "delete",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent sessions delete support-eu 5c7a9e01",
        "foundry-rollouts agent sessions delete support-eu 5c7a9e01 --yes",
    ),
)
@waits
async def delete(
    agent: AgentArgument,
    session: SessionArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask for confirmation; required without a terminal.")
    ] = False,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
) -> None:
    """Delete a session and its files; it is no error if it is gone."""
    confirm(f"delete session {session} of {agent} with its files", yes=yes)
    async with project(project_endpoint, credential) as cloud:
        await cloud.api.sessions.delete(agent, session)
    say(f"session {session} is deleted")
