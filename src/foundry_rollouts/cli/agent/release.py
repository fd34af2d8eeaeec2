"""``--rollout``: once a version is made, the service rolls it out; the exit code says how that ended."""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from foundry_rollouts.cli.agent.outcome import Ending, announced, concluded, settled, show_version
from foundry_rollouts.cli.agent.progress import Steps, Tell
from foundry_rollouts.cli.agent.project import known_as
from foundry_rollouts.cli.errors import ENDED_BADLY, TIMED_OUT
from foundry_rollouts.cli.options import user
from foundry_rollouts.cli.output import Output, say
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from foundry_rollouts.cli.api import Json, OpsApi
    from foundry_rollouts.foundry.client import FoundryClient
    from foundry_rollouts.foundry.versions import Created
    from foundry_rollouts.ports import VersionStatus

RolloutOption = Annotated[
    bool,
    typer.Option(
        "--rollout",
        help="Have the service at --server roll it out, or join its rollout; with --wait, follow that to its end.",
    ),
]
PolicyOption = Annotated[str | None, typer.Option(help="With --rollout: the policy, if not the agent's own.")]
ReasonOption = Annotated[str | None, typer.Option(help="With --rollout: the reason, for the history.")]
AuthorOption = Annotated[str | None, typer.Option(help="With --rollout: the author, for the history.")]

AT_FIRST = timedelta(seconds=30)  #: How long a service that is away is waited for before anything is deployed.
WITHOUT_WAIT = timedelta(minutes=2)  #: How long a rollout is waited for when its end is not.
#: How long the service is waited for that is to pin an endpoint: it lists the agents every half minute, by default.
PINNED_WITHIN = timedelta(minutes=2)

_NEXT_TO_NOTHING = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Release:
    """What is asked of the service."""

    server: str
    policy: str | None
    author: str | None
    reason: str | None

    @classmethod
    def of(
        cls,
        rollout: bool,
        server: str,
        policy: str | None,
        author: str | None,
        reason: str | None,
        *,
        is_draft: bool,
    ) -> "Release | None":
        """Read the options. Raises UsageError for what only a rollout has, and for a rollout of a draft."""
        if rollout and is_draft:
            raise UsageError("a draft takes no traffic and cannot be rolled out: leave out --draft, or --rollout")
        if rollout:
            return cls(server, policy, author or user(), reason)
        given = {"--policy": policy, "--author": author, "--reason": reason}
        if named := next((name for name, value in given.items() if value), None):
            raise UsageError(f"{named} is for a rollout: add --rollout")
        return None


async def refused_early(release: Release | None, agent: str, tell: Tell) -> None:
    """Raise before anything is deployed what would keep the version from being rolled out.

    Raises UsageError for an agent without a policy, DeniedError for a token whose role is too small, or as the service
    answers, and UnavailableError.
    """
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.cli.follow import Outage
    from foundry_rollouts.errors import UnavailableError

    if release is None:
        return
    tell(f"asking {release.server} about {agent}")
    outage = Outage(AT_FIRST)
    async with OpsApi.at(release.server) as api:
        while True:
            try:
                _must_operate(await api.me())
                known = await api.in_hand(known_as(agent))
                break
            except UnavailableError as error:
                outage.bear(error)
            await asyncio.sleep(1)
    outage.over()
    if known and not known["is_gone"] and known["policy"] is None and release.policy is None:
        raise UsageError(
            f"no policy governs agent {agent}, so its versions are not rolled out: write one that names it, or add"
            " --policy; nothing was deployed"
        )


async def until_pinned(release: Release | None, cloud: "FoundryClient", agent: str, tell: Tell) -> None:
    """Wait until no new version of ``agent`` meets all users at once: until the service has pinned its endpoint.

    An agent without a version that is active or is being built has no users, and gets none meanwhile. Raises
    ConflictError when the time is over, UnreadableError for rules that are not known here, and CloudError.
    """
    from foundry_rollouts.foundry.versions import BUILD_LIMIT
    from foundry_rollouts.ports import VersionStatus

    if release is None:
        return
    deadlines, waited_for = dict[VersionStatus, float](), None
    while (first := await _follows_latest(cloud, agent)) is not None:
        is_built = first is VersionStatus.ACTIVE
        limit = PINNED_WITHIN if is_built else BUILD_LIMIT
        if time.monotonic() >= deadlines.setdefault(first, time.monotonic() + limit.total_seconds()):
            raise ConflictError(_unpinned(agent, release.server) if is_built else _unbuilt(agent))
        if first is not waited_for:
            what = "" if is_built else ", once its first version is built"
            tell(f"waiting until the service at {release.server} pins the endpoint of {agent}{what}")
        waited_for = first
        await asyncio.sleep(1)


def _unpinned(agent: str, server: str) -> str:
    return (
        f"the endpoint of {agent} follows its latest version, so a new one would meet all users at once, and the"
        f" service at {server} does not pin it: does it watch this project? 'foundry-rollouts agent route {agent}"
        " --pin' pins it; nothing was deployed"
    )


def _unbuilt(agent: str) -> str:
    return (
        f"the first version of {agent} is still being built, and another one would meet all users at once: delete it,"
        " or wait until it is active or failed; nothing was deployed"
    )


async def _follows_latest(cloud: "FoundryClient", agent: str) -> "VersionStatus | None":
    """Return whether a version is active or being built where the endpoint follows the latest; None elsewhere."""
    from foundry_rollouts.errors import CloudError
    from foundry_rollouts.ports import VersionStatus

    try:
        if (await cloud.agent(agent)).routing_read().is_pinned:
            return None
        there = {each.status for each in await cloud.versions(agent) if not each.is_draft}
    except CloudError as error:
        if error.is_missing:
            return None
        raise
    return next((each for each in (VersionStatus.ACTIVE, VersionStatus.CREATING) if each in there), None)


def _must_operate(me: "Json | None") -> None:
    from foundry_rollouts.cli.api import DENIALS, DeniedError

    if me and not Role(me["role"]).may(Role.OPERATOR):
        raise DeniedError(
            f"a rollout needs the role {Role.OPERATOR}, and {me['name']} has the role {me['role']}; nothing was"
            f" deployed: {DENIALS[403]}"
        )


async def finished(
    cloud: "FoundryClient", agent: str, created: "Created", ending: Ending, tell: Steps, release: Release | None
) -> int:
    """Show what came of ``created``, with its rollout if one is wanted, and return the exit code."""
    from foundry_rollouts.cli.api import OpsApi
    from foundry_rollouts.cli.interrupt import interruptible

    if release is None:
        return await concluded(cloud, agent, created, ending, tell)
    await announced(cloud, agent, created, ending, tell)
    tell.end()
    version, begun = created.version.version, time.monotonic()
    named = f"--agent {known_as(agent)} --version {version}"
    start = f"'foundry-rollouts rollout start {named}' rolls it out unless the service does"
    async with OpsApi.at(release.server) as api:
        try:
            with interruptible(lambda: f"version {version} of {agent} is made: {start}"):
                async with asyncio.timeout((ending.limit if ending.wait else WITHOUT_WAIT).total_seconds()):
                    rollout = await _joined(api, cloud, agent, created, release)
        except TimeoutError:
            show_version(agent, created, created.version, ending)
            say(f"error: the wait for a rollout of version {version} of {agent} timed out: {start}", err=True)
            return TIMED_OUT
        if rollout is None:
            return await settled(cloud, agent, created, ending, tell)
        left = ending.timeout and max(ending.timeout - timedelta(seconds=time.monotonic() - begun), _NEXT_TO_NOTHING)
        return await _followed(api, created, rollout, replace(ending, timeout=left))


async def _joined(
    api: "OpsApi", cloud: "FoundryClient", agent: str, created: "Created", release: Release
) -> "Json | None":
    from foundry_rollouts.cli.joining import Trial, join
    from foundry_rollouts.ports import VersionStatus

    made = created.version

    deaths: list[str] = []

    async def is_dead() -> bool:
        if (await cloud.api.versions.one(agent, made.version)).seen.status is VersionStatus.FAILED:
            deaths.append(made.version)
        return bool(deaths)

    trial = Trial(known_as(agent), made.version, made.created_at, release.policy, release.author, release.reason)
    rollout = await join(api, trial, is_dead)
    if rollout is None:
        why = "failed" if deaths else "is the stable version"
        say(f"there is nothing to roll out: version {made.version} {why}", err=True)
    return rollout


async def _followed(api: "OpsApi", created: "Created", rollout: "Json", ending: Ending) -> int:
    """Report the rollout, follow it to its end if asked to, and return the exit code."""
    from foundry_rollouts.cli.follow import is_ended
    from foundry_rollouts.cli.wait import code_of_end, phase_of, wait_for_end

    agent, identity, is_document = str(rollout["agent"]), str(rollout["id"]), ending.output is not Output.TABLE
    if not is_document:
        show_version(agent, created, created.version, ending)
    if rollout.get("answer"):
        say(str(rollout["answer"]), err=is_document)
    say(f"rollout {identity} of {agent} version {rollout['canary']} is {phase_of(rollout)}", err=is_document)
    code = 0
    if ending.wait:
        code = await wait_for_end(api, identity, ending.timeout, is_quiet=is_document)
    elif is_ended(rollout):
        code = code_of_end(rollout)
    if code == ENDED_BADLY and is_ended(rollout):
        again = f"'foundry-rollouts rollout retry {identity}' tries it again"
        say(f"that trial was over before this command: deploy something else, or {again}", err=True)
    if is_document:
        now = await api.rollout(identity) if ending.wait else rollout
        show_version(agent, created, created.version, ending, {"rollout": now})
    return code
