"""What follows once a version is made: wait for it if asked to, show it, and say by the exit code how it went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from foundry_rollouts.cli.agent.progress import Steps, Tell
from foundry_rollouts.cli.errors import ENDED_BADLY, ERROR, TIMED_OUT
from foundry_rollouts.cli.output import Output, say, show_item
from foundry_rollouts.errors import UsageError

if TYPE_CHECKING:
    from foundry_rollouts.foundry.client import FoundryClient
    from foundry_rollouts.foundry.versions import Created
    from foundry_rollouts.ports import VersionSeen


@dataclass(frozen=True, slots=True)
class Ending:
    """Whether and how long to wait for a new version, and how to show it."""

    wait: bool
    limit: timedelta
    output: Output
    timeout: timedelta | None = None  #: The limit that was asked for.
    protocols: tuple[str, ...] = ()  #: What the endpoint must answer for the version to be of use.
    extra: Mapping[str, Any] = field(default_factory=dict)  #: Shown as data beside what the cloud tells.

    @classmethod
    def of(cls, wait: bool, timeout: timedelta | None, usual: timedelta, output: Output) -> "Ending":
        """Read the options. Raises UsageError for a timeout of no wait."""
        if timeout and not wait:
            raise UsageError("--timeout says how long to wait: add --wait")
        return cls(wait, timeout or usual, output, timeout)


async def concluded(cloud: "FoundryClient", agent: str, created: "Created", ending: Ending, tell: Steps) -> int:
    """Show what came of ``created`` and return the exit code."""
    await announced(cloud, agent, created, ending, tell)
    return await settled(cloud, agent, created, ending, tell)


async def announced(cloud: "FoundryClient", agent: str, created: "Created", ending: Ending, tell: Tell) -> None:
    """Say what was made, and have the endpoint answer what it speaks."""
    seen = created.version
    is_new = f"version {seen.version} of {agent} is new"
    tell(is_new if created.is_new else f"nothing has changed: already deployed as version {seen.version}")
    if not seen.is_draft:
        await _opened(cloud, agent, ending.protocols, tell)


async def settled(cloud: "FoundryClient", agent: str, created: "Created", ending: Ending, tell: Steps) -> int:
    """Wait for the version if asked to, show it, and return the exit code."""
    from foundry_rollouts.foundry.polling import WaitTimeoutError

    seen = created.version
    what = f"version {seen.version} of {agent}"
    if ending.wait:
        try:
            seen = await _waited(cloud, agent, seen, ending.limit, tell)
        except WaitTimeoutError:
            tell.end()
            show_version(agent, created, seen, ending)
            how = f"it continues, follow it with 'foundry-rollouts agent show {agent} --version {seen.version}'"
            say(f"error: {what} is not active after {_text(ending.limit)}: {how}", err=True)
            return TIMED_OUT
    tell.end()
    show_version(agent, created, seen, ending)
    if created.is_silent_release:
        await _warn_of_release(cloud, agent, seen)
        return ERROR
    return _code(agent, created, seen)


async def _waited(
    cloud: "FoundryClient", agent: str, seen: "VersionSeen", limit: timedelta, tell: Tell
) -> "VersionSeen":
    from foundry_rollouts.foundry.polling import Pace

    pace = Pace(limit, first=timedelta(seconds=1), every=timedelta(seconds=5))
    return await cloud.api.versions.wait_until_active(
        agent, seen.version, pace, lambda now: tell(f"version {now.version} is {now.status_word}")
    )


async def _opened(cloud: "FoundryClient", agent: str, protocols: Sequence[str], tell: Tell) -> None:
    """Have the endpoint answer what the version speaks: a new one answers Responses only, an old one what it did."""
    from foundry_rollouts.errors import CloudError

    seen = await cloud.api.agents.one(agent)
    missing = [name for name in protocols if name not in seen.protocols]
    if not missing or not seen.tells_routing:
        return
    named = ", ".join(missing)
    try:
        await cloud.api.endpoint.answer(agent, missing)
    except CloudError as error:
        tell(f"the endpoint does not serve {named}: {error}")
    else:
        tell(f"the endpoint of {agent} also serves {named}")


def show_version(
    agent: str, created: "Created", seen: "VersionSeen", ending: Ending, more: Mapping[str, Any] | None = None
) -> None:
    """Show the version; ``more`` is shown as data only."""
    if ending.output is Output.TABLE:
        known = "" if created.is_new else "already deployed as "
        say(f"{known}version {seen.version} of {agent}: {seen.status_word}")
        return
    from foundry_rollouts.cli.agent.views import seen_item

    item = {"agent": agent, "new": created.is_new, "draft": seen.is_draft, **seen_item(seen), **ending.extra}
    show_item({**item, **(more or {})}, (), ending.output)


async def _warn_of_release(cloud: "FoundryClient", agent: str, seen: "VersionSeen") -> None:
    routing = (await cloud.agent(agent)).routing
    serves = "no session uses it yet" if routing.is_pinned else "NEW SESSIONS USE IT as soon as it is active"
    remedy = f"remove it with 'foundry-rollouts agent delete {agent} --version {seen.version}'"
    if not routing.is_pinned:
        remedy = f"pin an earlier version with 'foundry-rollouts agent route {agent} VERSION=100', then {remedy}"
    typer.echo(
        f"error: a draft was asked for and the cloud made a RELEASE, version {seen.version} of {agent}, because drafts "
        f"are not enabled here; {serves}: {remedy}",
        err=True,
    )


def _code(agent: str, created: "Created", seen: "VersionSeen") -> int:
    from foundry_rollouts.ports import VersionStatus

    if seen.status not in {VersionStatus.FAILED, VersionStatus.DELETING, VersionStatus.DELETED}:
        return 0
    why = f": {seen.error}" if seen.error else ""
    say(f"error: version {seen.version} of {agent} is {seen.status_word}{why}: {_remedy(created, seen)}", err=True)
    return ENDED_BADLY


def _remedy(created: "Created", seen: "VersionSeen") -> str:
    from foundry_rollouts.foundry.versions import lacks_capacity

    if lacks_capacity(seen):
        return "the region has no capacity, try again later"
    # The cloud compares with the latest version only, so the same again is the same failed version again.
    return "fix that and deploy again" if created.is_new else "change something, or delete that version, to try again"


def _text(span: timedelta) -> str:
    from foundry_rollouts.policies.units import span_text

    return span_text(span)
