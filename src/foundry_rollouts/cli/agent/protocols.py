"""``agent protocols``: what an endpoint speaks. Every change is read back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.output import Output, OutputOption, column, say, show_item
from foundry_rollouts.errors import DriftError, UsageError

if TYPE_CHECKING:
    from foundry_rollouts.foundry.client import FoundryClient

protocols_commands = group("Decide what an endpoint speaks.")

_COLUMNS = (column("agent"), column("protocols"))


@protocols_commands.command(
    "protocols",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent protocols support-eu",
        "foundry-rollouts agent protocols support-eu --add invocations",
        "foundry-rollouts agent protocols support-eu --remove invocations",
        "foundry-rollouts agent protocols support-eu --set responses,invocations",
    ),
)
@waits
async def protocols(
    agent: AgentArgument,
    add: Annotated[list[str] | None, typer.Option(metavar="NAMES", help="Serve these too; repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option(metavar="NAMES", help="Stop serving these; repeatable.")] = None,
    replace: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAMES", help="Serve these and no others; repeatable.")
    ] = None,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show or set the protocols of an endpoint: responses, invocations, a2a, mcp and so on.

    NAMES are separated by commas. The change is read back. Callers of a protocol that is removed get errors at once; a
    version that gets traffic and does not declare an added one is reported.
    """
    wanted, unwanted, only = _names(add), _names(remove), _names(replace)
    if only and (wanted or unwanted):
        raise UsageError("one thing at a time: --set, or --add and --remove")
    if both := sorted({*wanted} & {*unwanted}):
        raise UsageError(f"{', '.join(both)} cannot be added and removed at once")
    async with project(project_endpoint, credential) as cloud:
        before: Sequence[str] = (await cloud.api.agents.one(agent)).protocols
        after = only or [name for name in dict.fromkeys([*before, *wanted]) if name not in unwanted]
        if only or wanted or unwanted:
            if not after:
                raise UsageError("an endpoint without protocols serves nobody: keep one, or use 'agent disable'")
            before = await _served(cloud, agent, before, after)
            await _warn_of_mute(cloud, agent, [name for name in after if name in {*wanted, *only}])
    show_item({"agent": agent, "protocols": list(before)}, _COLUMNS, output)


def _names(given: Sequence[str] | None) -> list[str]:
    """Read names separated by commas. Raises UsageError for what is no protocol."""
    from foundry_rollouts.foundry.wire import PROTOCOLS

    names = [name.strip() for each in given or () for name in each.split(",")]
    unknown = next((name for name in names if name not in PROTOCOLS), None)
    if unknown is not None:
        raise UsageError(f"protocol {unknown!r} is unknown: known are {', '.join(sorted(PROTOCOLS))}")
    return list(dict.fromkeys(names))


async def _served(cloud: "FoundryClient", agent: str, before: Sequence[str], after: Sequence[str]) -> Sequence[str]:
    """Set the protocols and return them as they are read back. Raises DriftError when they do not hold."""
    seen = before
    for as_list in (False, True):
        if set(seen) == set(after):
            return seen
        await cloud.api.endpoint.serve(agent, seen, after, as_list=as_list)
        seen = (await cloud.api.agents.one(agent)).protocols
    if set(seen) != set(after):
        still = ", ".join(seen) or "none"
        raise DriftError(f"asked for {', '.join(after)}, the cloud still reports {still}: find out who else changes it")
    return seen


async def _warn_of_mute(cloud: "FoundryClient", agent: str, names: Sequence[str]) -> None:
    """Say which versions with traffic do not declare what the endpoint now serves."""
    from foundry_rollouts.core.model.routing import LATEST

    seen = await cloud.agent(agent)
    versions = [version for version, _ in seen.routing.weights if version != LATEST]
    found = [await cloud.version(agent, version) for version in versions]
    found += [seen.latest] if seen.latest and len(versions) < len(seen.routing.weights) else []
    for version in found:
        missing = [name for name in names if version.protocols is not None and name not in version.protocols]
        if missing:
            say(f"warning: version {version.version} gets traffic and does not declare {', '.join(missing)}", err=True)
