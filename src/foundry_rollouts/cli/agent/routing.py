"""``agent route``, ``enable`` and ``disable``: who serves, and whether anybody does. Every change is read back."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.agent.project import AgentArgument, CredentialOption, EndpointOption, project
from foundry_rollouts.cli.commands import Command, examples, group, waits
from foundry_rollouts.cli.output import Output, OutputOption, say, show_item
from foundry_rollouts.errors import DriftError, UsageError

if TYPE_CHECKING:
    from foundry_rollouts.core.model.routing import Routing
    from foundry_rollouts.foundry.client import FoundryClient

#: An endpoint may tell the old routing for so long.
READ_BACK = timedelta(seconds=30)

routing = group("Decide who serves.")


@routing.command(
    "route",
    cls=Command,
    epilog=examples(
        "foundry-rollouts agent route support-eu",
        "foundry-rollouts agent route support-eu 7=90 8=10",
        "foundry-rollouts agent route support-eu --pin",
        "foundry-rollouts agent route support-eu --latest",
    ),
)
@waits
async def route(
    agent: AgentArgument,
    weights: Annotated[
        list[str] | None,
        typer.Argument(metavar="VERSION=PERCENT", help="All weights, together 100; without any, show them."),
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Replace @latest by the version that it stands for now.")] = False,
    latest: Annotated[bool, typer.Option("--latest", help="Follow the latest version from now on.")] = False,
    project_endpoint: EndpointOption = None,
    credential: CredentialOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show or set how new sessions are divided between versions.

    Rejected: weights that do not add up to 100, drafts, inactive versions. The routing is read back.

    Where a controller manages the agent, this is drift: a rollout in progress notices it and follows the on-drift
    of its policy says, and an unpinned endpoint is pinned again. Use "rollout" commands there.
    """
    from foundry_rollouts.cli.agent.views import ROUTING, routing_item

    if sum((bool(weights), pin, latest)) > 1:
        raise UsageError("one thing at a time: weights, --pin or --latest")
    wanted = parsed_weights(weights or [])
    async with project(project_endpoint, credential) as cloud:
        shown = await cloud.agent(agent)
        seen = shown.routing
        if pin:
            wanted = await _pinned(cloud, agent, seen)
        elif latest:
            wanted = _latest()
        if wanted is not None:
            await _refuse_unready(cloud, agent, wanted)
            seen = await _routed(cloud, agent, wanted)
    show_item(routing_item(agent, seen, shown.disabled_by), ROUTING, output)


def parsed_weights(pairs: Sequence[str]) -> "Routing | None":
    """Read ``VERSION=PERCENT`` pairs; None when there are none. Raises UsageError."""
    from foundry_rollouts.core.model.routing import Routing

    weights: dict[str, int] = {}
    for pair in pairs:
        version, _, percent = pair.partition("=")
        if not version or not percent.isdecimal() or int(percent) > 100:
            raise UsageError(f"{pair!r} is no weight: write VERSION=PERCENT, for example 7=90")
        if version in weights:
            raise UsageError(f"version {version} is named twice: give each version one weight")
        weights[version] = int(percent)
    if not pairs:
        return None
    if (total := sum(weights.values())) != 100:
        raise UsageError(f"the weights add up to {total}: they must add up to 100")
    return Routing.of(weights)


def _latest() -> "Routing":
    from foundry_rollouts.core.model.routing import LATEST, Routing

    return Routing.of({LATEST: 100})


async def _pinned(cloud: "FoundryClient", agent: str, seen: "Routing") -> "Routing":
    """Return ``seen`` with a number where it says latest."""
    from foundry_rollouts.core.model.routing import LATEST, Routing

    newest = (await cloud.agent(agent)).latest
    if newest is None:
        raise UsageError(f"{agent} has no version to pin: deploy one first")
    weights = dict(seen.weights)
    weights[newest.version] = weights.get(newest.version, 0) + weights.pop(LATEST, 0)
    return Routing.of(weights)


async def _refuse_unready(cloud: "FoundryClient", agent: str, wanted: "Routing") -> None:
    from foundry_rollouts.ports import VersionStatus

    for version, _ in wanted.weights:
        if version.startswith("@"):
            continue
        seen = await cloud.version(agent, version)
        if seen.is_draft:
            how = f"make it a release with 'foundry-rollouts agent promote-draft {agent} {version}'"
            raise UsageError(f"{version} is a draft, and drafts take no traffic: {how}")
        if seen.status is not VersionStatus.ACTIVE:
            raise UsageError(f"version {version} is {seen.status_word}: route to it once it is active")


async def _routed(cloud: "FoundryClient", agent: str, wanted: "Routing") -> "Routing":
    """Set the weights and return the routing as it is read back. Raises DriftError when it does not hold."""
    await cloud.route(agent, wanted)
    seen = await _read_back(cloud, agent, lambda routing: routing.weights == wanted.weights)
    if seen.weights != wanted.weights:
        reported = str(seen)
        raise DriftError(
            f"asked for {wanted}, the cloud still reports {reported}: find out who else changes it, then try again"
        )
    return seen


@routing.command("enable", cls=Command, epilog=examples("foundry-rollouts agent enable support-eu"))
@waits
async def enable(
    agent: AgentArgument, project_endpoint: EndpointOption = None, credential: CredentialOption = None
) -> None:
    """Enable an agent, and read back that it is enabled."""
    async with project(project_endpoint, credential) as cloud:
        await cloud.enable(agent)
        refuse_where_that_cannot_help(agent, (await cloud.agent(agent)).disabled_by)
        _tell_state(agent, await _read_back(cloud, agent, lambda routing: routing.is_open), is_open=True)


@routing.command("disable", cls=Command, epilog=examples("foundry-rollouts agent disable support-eu"))
@waits
async def disable(
    agent: AgentArgument, project_endpoint: EndpointOption = None, credential: CredentialOption = None
) -> None:
    """Disable an agent: no new sessions, no requests, open sessions drain. It is read back.

    Where a controller manages the agent, a rollout in progress treats this as drift.
    """
    async with project(project_endpoint, credential) as cloud:
        await cloud.disable(agent)
        _tell_state(agent, await _read_back(cloud, agent, lambda routing: not routing.is_open), is_open=False)


def refuse_where_that_cannot_help(agent: str, disabled_by: str | None) -> None:
    """Raise DriftError where the agent is enabled, and something else than its configuration keeps it closed."""
    if disabled_by is not None:
        because = f"{agent} is enabled in its configuration and disabled by {disabled_by}: enabling it cannot help"
        raise DriftError(f"{because}; enable that in Microsoft Entra, or ask who disabled it")


def _tell_state(agent: str, seen: "Routing", *, is_open: bool) -> None:
    state = "enabled" if is_open else "disabled"
    if seen.is_open is not is_open:
        raise DriftError(f"the cloud does not report {agent} as {state}: check it with 'agent show {agent}'")
    say(f"{agent} is {state}: {seen}")


async def _read_back(cloud: "FoundryClient", agent: str, holds: Callable[["Routing"], bool]) -> "Routing":
    async def read() -> "Routing":
        return (await cloud.agent(agent)).routing

    return await last_read(read, holds, READ_BACK)


async def last_read(
    read: Callable[[], Awaitable["Routing"]], holds: Callable[["Routing"], bool], limit: timedelta
) -> "Routing":
    """Return the first routing for which ``holds``, or the last one read before ``limit``."""
    from foundry_rollouts.foundry.polling import Pace, WaitTimeoutError, read_until

    last: Routing | None = None

    async def read_and_keep() -> "Routing":
        nonlocal last
        last = await read()
        return last

    pace = Pace(limit, first=timedelta(seconds=0.2), every=timedelta(seconds=1))
    try:
        return await read_until(read_and_keep, holds, pace, "the routing")
    except WaitTimeoutError:
        if last is None:
            raise
        return last
