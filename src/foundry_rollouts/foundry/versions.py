"""Versions: list, show one, create from an image, wait, delete."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.calls import Call, json_body, path_of
from foundry_rollouts.foundry.definition import Definition, Labels, PromptDefinition, definition_json
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.paging import items
from foundry_rollouts.foundry.polling import Pace, read_until
from foundry_rollouts.foundry.refusals import ids_of
from foundry_rollouts.foundry.retry import Repeat
from foundry_rollouts.foundry.wire import VersionDetails, version_details
from foundry_rollouts.ports import VersionSeen, VersionStatus

CREATE_LIMIT = timedelta(seconds=60)
IMAGE_LIMIT = timedelta(minutes=10)  #: After that an image's version is thought stuck.
BUILD_LIMIT = timedelta(minutes=15)  #: The same for a version that the cloud builds from source.

NO_REASON = "the cloud gives no reason"
_WITH_ERRORS = {"api-version": "2025-11-15-preview"}  #: The interface that always tells why a version failed.


@dataclass(frozen=True, slots=True)
class Created:
    """The version that a create led to; not ``is_new`` when the cloud knew the definition already."""

    version: VersionSeen
    is_new: bool
    wished_draft: bool = False

    @property
    def is_silent_release(self) -> bool:
        """Whether the cloud made a release where a draft was wished; it may serve already."""
        return self.wished_draft and not self.version.is_draft


def lacks_capacity(version: VersionSeen) -> bool:
    """Whether ``version`` failed for want of room in the region: the one failure that passes by itself."""
    return version.status is VersionStatus.FAILED and "NoClustersAvailable" in (version.error or "")


class Versions:
    """The versions of one project's agents. Every method raises CloudError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(self, agent: str, *, drafts: bool = False) -> AsyncGenerator[VersionDetails, None]:
        """Yield the versions of ``agent``, newest first; drafts only when asked for."""
        params = {"order": "desc"} | ({"include_drafts": "true"} if drafts else {})
        call = Call(
            "versions.list", "GET", path_of("agents", agent, "versions"), params=params, shape=shapes.versions()
        )
        async for item in items(self._transport, call):
            yield version_details(item)

    async def one(self, agent: str, version: str) -> VersionDetails:
        """Return one version; why it failed is asked for again where the cloud left it out."""
        path, shape = path_of("agents", agent, "versions", version), shapes.version(agent, version)
        call = Call("versions.get", "GET", path, shape=shape)
        details = version_details((await self._transport.request(call)).json)
        if details.seen.status is not VersionStatus.FAILED or details.seen.error:
            return details
        reply = await self._transport.request(call.asking(_WITH_ERRORS))
        details = version_details(reply.json)
        if details.seen.status is not VersionStatus.FAILED or details.seen.error:
            return details
        ids = ids_of(reply.headers)
        unknown = f"{NO_REASON} ({ids})" if ids else NO_REASON
        return replace(details, seen=replace(details.seen, error=unknown))

    async def latest(self, agent: str) -> VersionSeen | None:
        """Return the newest release; None when there is no such agent, or no release of it."""
        shape = shapes.agent(agent, is_routed=False)
        try:
            reply = await self._transport.request(Call("agents.get", "GET", path_of("agents", agent), shape=shape))
        except CloudError as error:
            if error.is_missing:
                return None
            raise
        found = reply.json.get("versions")
        latest = found.get("latest") if isinstance(found, dict) else None
        return version_details(latest).seen if latest else None

    async def create(
        self, agent: str, definition: Definition | PromptDefinition, labels: Labels | None = None
    ) -> Created:
        """Create a version from an image or a prompt, and the agent too when there is none.

        An unchanged definition makes no new version: the cloud returns the one it has.
        """
        return await self.send(agent, {"definition": definition_json(definition), **(labels or Labels()).json()})

    async def send(self, agent: str, wish: dict[str, Any]) -> Created:
        """Create a version from a definition that is in the wire's words already."""
        before = await self.latest(agent)
        made = await self._made(agent, wish, Repeat.DEDUPLICATED)
        return Created(made, is_new=before is None or made.version != before.version)

    async def create_draft(
        self, agent: str, definition: Definition | PromptDefinition, labels: Labels | None = None
    ) -> Created:
        """Create a draft: a version outside the numbering that takes no traffic.

        Where drafts are not offered the cloud silently makes a release: check ``is_silent_release``.
        """
        wish = {"definition": definition_json(definition), **(labels or Labels()).json(), "draft": True}
        return Created(await self._made(agent, wish, Repeat.ONCE), is_new=True, wished_draft=True)

    async def _made(self, agent: str, wish: dict[str, Any], repeat: Repeat) -> VersionSeen:
        call = Call(
            "versions.create_draft" if wish.get("draft") else "versions.create",
            "POST",
            path_of("agents", agent, "versions"),
            repeat,
            headers={"Foundry-Features": "DraftAgents=V1Preview"} if wish.get("draft") else {},
            body=json_body(wish),
            limit=CREATE_LIMIT,
            shape=shapes.version(agent),
        )
        return version_details((await self._transport.request(call)).json).seen

    async def delete(self, agent: str, version: str, *, force: bool = False) -> None:
        """Delete one version; live sessions are a 409 unless ``force`` ends them."""
        path = path_of("agents", agent, "versions", version)
        params = {"force": "true"} if force else {}
        await self._transport.request(Call("versions.delete", "DELETE", path, params=params, shape=shapes.done(agent)))

    async def wait_until_active(
        self,
        agent: str,
        version: str,
        pace: Pace | None = None,
        on_status: Callable[[VersionSeen], None] | None = None,
    ) -> VersionSeen:
        """Return the version once nothing more will happen to it: active, or twice in a row failed or deleted.

        ``on_status`` hears of each change of status. Raises WaitTimeoutError after ``pace.limit``.
        """
        reported: VersionStatus | None = None
        before: VersionStatus | None = None

        async def read() -> VersionSeen:
            nonlocal reported
            seen = (await self.one(agent, version)).seen
            if on_status is not None and seen.status is not reported:
                reported = seen.status
                on_status(seen)
            return seen

        def is_over(seen: VersionSeen) -> bool:
            nonlocal before
            is_said_twice, before = seen.status is before, seen.status
            return seen.status is VersionStatus.ACTIVE or (seen.status.is_end and is_said_twice)

        return await read_until(read, is_over, pace or Pace(IMAGE_LIMIT), f"version {version} of {agent}")
