"""``agent identity`` and ``grant``: who an agent is towards Azure, and what it may do."""

from typing import Annotated, Any

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project, roles
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.errors import TIMED_OUT
from foundry_rollouts.cli.output import Output, OutputOption, column, say, show_item, show_items
from foundry_rollouts.errors import RolloutsError

grant_commands = group("Identity and roles.")

ArmOption = Annotated[
    str | None,
    typer.Option("--arm-endpoint", metavar="URL", help="Azure Resource Manager, for clouds other than the public one."),
]
_SCOPE = "/subscriptions/S/resourceGroups/G/providers/Microsoft.CognitiveServices/accounts/A/projects/P"
_GRANTS = tuple(map(column, ("role", "scope", "id")))


@grant_commands.command(
    "identity",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent identity support-eu",
        f"foundry-rollouts agent identity support-eu --scope {_SCOPE} --output json",
    ),
)
@waits
async def identity(
    agent: AgentArgument,
    scope: Annotated[str | None, typer.Option(metavar="ID", help="List its roles on this resource.")] = None,
    arm_endpoint: ArmOption = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show an agent's principal in Azure; with --scope, the roles granted to it there."""
    principal = await _principal(agent, project_endpoint, credential)
    if scope is None:
        show_item({"agent": agent, "principal": principal}, (column("agent"), column("principal")), output)
        return
    async with roles(project_endpoint, credential, arm_endpoint) as assignments:
        found = [_item(each) async for each in assignments.all(scope, principal)]
    show_items(found, _GRANTS, output, f"no role is granted to {agent} on {scope}")


@grant_commands.command(
    "grant",
    cls=Command,
    epilog=examples(
        f'foundry-rollouts agent grant support-eu --role "Azure AI Developer" --scope {_SCOPE}',
        "foundry-rollouts agent grant support-eu --role ba92f5b4-2d11-453d-a403-e96b0029c9fe "
        "--scope /subscriptions/S/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/N",
    ),
)
@waits
async def grant(
    agent: AgentArgument,
    role: Annotated[str, typer.Option(metavar="NAME|ID", help="The role's name, or the id of its definition.")],
    scope: Annotated[str, typer.Option(metavar="ID", help="The resource, by its id: /subscriptions/...")],
    arm_endpoint: ArmOption = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
) -> int:
    """Grant an agent's identity a role on a resource; granting it twice is no error.

    A new identity is waited for, two minutes at most (exit code 4): it reaches Azure late.
    """
    from foundry_rollouts.foundry.identity import Grant
    from foundry_rollouts.foundry.polling import WaitTimeoutError

    Grant(scope, "", role).role_definition  # noqa: B018 - a wrong role or scope is refused before anything is asked
    principal = await _principal(agent, project_endpoint, credential)
    async with roles(project_endpoint, credential, arm_endpoint) as assignments:
        try:
            is_new = await assignments.ensure(Grant(scope, principal, role))
        except WaitTimeoutError as error:
            say(f"error: {error}: run it again in some minutes", err=True)
            return TIMED_OUT
    say(f"{role} is {'granted' if is_new else 'granted already'} to {agent} ({principal}) at {scope}")
    return 0


async def _principal(agent: str, endpoint: str | None, credential: str | None) -> str:
    async with project(endpoint, credential) as cloud:
        principal = (await cloud.api.agents.one(agent)).principal
    if principal is None:
        raise RolloutsError(f"{agent} has no identity yet: deploy a version, then ask again")
    return principal


def _item(granted: Any) -> dict[str, Any]:
    from foundry_rollouts.foundry.identity import ROLES

    names = {role: name for name, role in ROLES.items()}
    role = granted.role_definition.rpartition("/")[2]
    return {"role": names.get(role.lower(), role), "scope": granted.scope, "id": granted.id}
