"""Versions of an agent: list, get, create, delete."""

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from foundry_emulator import deletion
from foundry_emulator.bodies import flag, json_object, parsed
from foundry_emulator.deletion import holds_compute
from foundry_emulator.errors import FoundryError, conflict
from foundry_emulator.middleware import Visit
from foundry_emulator.paging import page
from foundry_emulator.provisioning import VersionRequest, add_version, looked_at
from foundry_emulator.records import VersionRecord
from foundry_emulator.routes.requests import checked_name, version_request
from foundry_emulator.routes.uploads import is_upload, upload_request
from foundry_emulator.routing import rules_of
from foundry_emulator.views import version_view

_DRAFT_OPT_IN = "DraftAgents=V1Preview"


class _NewVersionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    definition: dict[str, Any]
    description: str | None = None
    metadata: dict[str, str] | None = None
    blueprint_reference: dict[str, Any] | None = None
    draft: bool | None = None
    digital_worker_type: Literal["m365"] | None = None


async def list_versions(visit: Visit) -> Response:
    """Answer one page of versions; drafts only when they are asked for."""
    agent = visit.world.state.agent(visit.agent)
    has_drafts = flag(visit.query, "include_drafts")
    shown = [each for each in visit.world.state.versions(visit.agent) if has_drafts or not each.is_draft]

    def view(version: VersionRecord) -> dict[str, Any]:
        return version_view(version, agent)

    return JSONResponse(page(shown, visit.query, lambda version: f"{agent.key.name}:{version.version}", view))


async def read_version(visit: Visit) -> Response:
    """Answer one version; this is the read that lifecycles by looks count."""
    version = visit.world.state.version(visit.agent, visit.named("version"))
    return _answer(visit, looked_at(visit.world, version))


async def create_version(visit: Visit) -> Response:
    """Create a version from JSON or a code upload; the agent too when it is new."""
    name = checked_name(visit.agent.name)
    if is_upload(visit.request):
        async with upload_request(visit, name) as request:
            return _added(visit, request)
    body = parsed(_NewVersionBody, await json_object(visit.request))
    plain = version_request(body.definition, body.description, body.metadata)
    answer = _added(visit, VersionRequest(plain.definition, plain.description, plain.metadata, body.draft or False))
    if body.digital_worker_type is not None:
        agent = visit.world.state.agent(visit.agent)
        visit.world.state.put_agent(replace(agent, digital_worker_type=body.digital_worker_type))
    return answer


async def delete_version(visit: Visit) -> Response:
    """Delete a version that no rule names; live sessions on it need ``force=true``."""
    world = visit.world
    version = world.state.version(visit.agent, visit.named("version"))
    agent = world.state.agent(visit.agent)
    if any(rule.version == version.version for rule in rules_of(agent.endpoint)):
        raise conflict(f"Version '{version.version}' is named by the agent's version selector")
    sessions = [each for each in world.state.sessions(visit.agent) if each.version == version.version]
    if not flag(visit.query, "force") and any(holds_compute(session) for session in sessions):
        raise conflict("Agent version has active sessions")
    await deletion.delete_version(world, version)
    name, number = visit.agent.name, version.version
    return JSONResponse({"object": "agent.version.deleted", "name": name, "version": number, "deleted": True})


def _added(visit: Visit, request: VersionRequest) -> Response:
    if request.is_draft:
        _refuse_without_opt_in(visit)
    return _answer(visit, add_version(visit.world, visit.agent, request))


def _answer(visit: Visit, version: VersionRecord) -> Response:
    return JSONResponse(version_view(version, visit.world.state.agent(visit.agent)))


def _refuse_without_opt_in(visit: Visit) -> None:
    features = visit.request.headers.get("foundry-features", "")
    if visit.world.switches.require_draft_opt_in and _DRAFT_OPT_IN not in features:
        message = f"This operation requires the opt-in header 'Foundry-Features: {_DRAFT_OPT_IN}'."
        raise FoundryError(403, "preview_feature_required", message, "Foundry-Features")
