"""Source code into a version: upload an archive that the cloud builds or runs as it is."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.calls import Body, Call, path_of
from foundry_rollouts.foundry.definition import Definition, Labels, definition_json
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.packaging import Archive
from foundry_rollouts.foundry.retry import Repeat
from foundry_rollouts.foundry.versions import Created, Versions
from foundry_rollouts.foundry.wire import agent_details, version_details

UPLOAD_LIMIT = timedelta(minutes=10)

_OPT_IN = "CodeAgents=V1Preview,HostedAgents=V1Preview"  #: Tenants that lag still ask for it.


class Deploy:
    """Uploads of source code. Every method raises CloudError."""

    def __init__(self, transport: Transport, versions: Versions) -> None:
        self._transport = transport
        self._versions = versions

    async def upload(
        self, agent: str, archive: Archive, definition: Definition, labels: Labels | None = None
    ) -> Created:
        """Make a version of ``archive``, and the agent too when there is none.

        The same archive under the same definition as the latest version makes no new one.
        """
        wish = {"definition": definition_json(definition), **(labels or Labels()).json()}
        return await self.send(agent, archive, wish)

    async def send(self, agent: str, archive: Archive, wish: dict[str, Any]) -> Created:
        """Upload with a definition that is on the wire's words already."""
        before = await self._versions.latest(agent)
        reply = None
        if before is None:
            reply = await self._create(agent, archive, wish)
        if reply is None:  # it is there, or somebody has made it in the meantime
            reply = await self._update(agent, archive, wish)
        made = agent_details(reply).seen.latest or await self._versions.latest(agent)
        if made is None:
            raise CloudError("agents.update", Refusal(200, "no_version", "the upload led to no version"))
        return Created(made, is_new=before is None or made.version != before.version)

    async def draft(self, agent: str, archive: Archive, wish: dict[str, Any]) -> Created:
        """Upload as a draft; check ``is_silent_release``, the cloud may have made a release."""
        call = _upload("versions.create_draft", path_of("agents", agent, "versions"), archive, wish | {"draft": True})
        reply = await self._transport.request(replace(_once(call), shape=shapes.version(agent)))
        return Created(version_details(reply.json).seen, is_new=True, wished_draft=True)

    async def _create(self, agent: str, archive: Archive, wish: dict[str, Any]) -> dict[str, Any] | None:
        call = _upload("agents.create", path_of("agents"), archive, {"name": agent, **wish}, {"x-ms-agent-name": agent})
        call = replace(call, shape=shapes.agent(agent, is_routed=False))
        try:
            return (await self._transport.request(call)).json
        except CloudError as error:
            if error.refusal.status == 409:
                return None
            raise

    async def _update(self, agent: str, archive: Archive, wish: dict[str, Any]) -> dict[str, Any]:
        call = _upload("agents.update", path_of("agents", agent), archive, wish)
        call = replace(call, shape=shapes.agent(agent, is_routed=False))
        return (await self._transport.request(call)).json


def _upload(
    operation: str, path: str, archive: Archive, wish: dict[str, Any], headers: dict[str, str] | None = None
) -> Call:
    return Call(
        operation,
        "POST",
        path,
        Repeat.DEDUPLICATED,
        headers={"Foundry-Features": _OPT_IN, "x-ms-code-zip-sha256": archive.sha256, **(headers or {})},
        body=Body(json.dumps(wish).encode(), archive=archive.data),
        limit=UPLOAD_LIMIT,
    )


def _once(call: Call) -> Call:
    features = f"{_OPT_IN},DraftAgents=V1Preview"
    return replace(call, repeat=Repeat.ONCE, headers={**call.headers, "Foundry-Features": features})
