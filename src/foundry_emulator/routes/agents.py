"""Agents: list, get, create, update, patch, enable and disable, delete."""

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

from foundry_emulator import deletion
from foundry_emulator.bodies import flag, json_object, parsed
from foundry_emulator.deletion import holds_compute
from foundry_emulator.errors import conflict, invalid
from foundry_emulator.kinds import KINDS, kind_of_agent
from foundry_emulator.middleware import Visit
from foundry_emulator.paging import page
from foundry_emulator.provisioning import add_version
from foundry_emulator.records import AgentKey, AgentRecord, RoutingChange
from foundry_emulator.routes.requests import checked_name, version_request
from foundry_emulator.routes.uploads import is_upload, required_header, upload_request
from foundry_emulator.routing import default_endpoint, merge, patched_endpoint, refuse_targets, rules_of
from foundry_emulator.views import agent_view
from foundry_emulator.world import World

_NAME = "x-ms-agent-name"


class _AgentBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    definition: dict[str, Any]
    description: str | None = None
    metadata: dict[str, str] | None = None
    blueprint_reference: dict[str, Any] | None = None
    state: Literal["enabled", "disabled"] | None = None
    agent_endpoint: dict[str, Any] | None = None
    agent_card: dict[str, Any] | None = None
    digital_worker_type: Literal["m365"] | None = None


class _NewAgentBody(_AgentBody):
    name: str
    draft: bool | None = None


async def list_agents(visit: Visit) -> Response:
    """Answer one page of the project's agents, of all kinds or of one."""
    state, kind = visit.world.state, visit.query.get("kind")
    if kind is not None and kind not in KINDS:
        raise invalid(f"Unknown agent kind '{kind}'.", "kind")
    agents = [each for each in state.agents(visit.project) if kind in (None, kind_of_agent(state, each.key))]
    envelope = page(agents, visit.query, lambda agent: agent.key.name, lambda agent: _view(visit.world, agent))
    return JSONResponse(envelope)


async def read_agent(visit: Visit) -> Response:
    """Answer one agent."""
    return JSONResponse(_view(visit.world, visit.world.state.agent(visit.agent)))


async def create_agent(visit: Visit) -> Response:
    """Create an agent with its first version, from JSON or from a code upload named by ``x-ms-agent-name``."""
    world = visit.world
    if is_upload(visit.request):
        name = required_header(visit.request, _NAME)
        key = _free_key(visit, name, _NAME)
        async with upload_request(visit, name) as request:
            add_version(world, _free_key(visit, name), request)  # another caller may have been faster meanwhile
        return JSONResponse(_view(world, world.state.agent(key)))
    body = parsed(_NewAgentBody, await json_object(visit.request))
    key = _free_key(visit, body.name)
    request = version_request(body.definition, body.description, body.metadata)
    if body.agent_endpoint is not None:
        rules = rules_of(patched_endpoint(default_endpoint(["responses"]), body.agent_endpoint))
        refuse_targets(rules, lambda version: None if version == "1" else f"a new agent has no version '{version}'")
    made = add_version(world, key, replace(request, is_draft=body.draft or False))
    return JSONResponse(_view(world, _configured(world, key, body, made.version)))


async def update_agent(visit: Visit) -> Response:
    """Add a version if the definition changed, and answer the agent."""
    world = visit.world
    agent = world.state.agent(visit.agent)
    if is_upload(visit.request):
        async with upload_request(visit, visit.agent.name) as request:
            world.state.agent(visit.agent)  # it may have been deleted meanwhile
            add_version(world, visit.agent, request)
        return JSONResponse(_view(world, world.state.agent(visit.agent)))
    body = parsed(_AgentBody, await json_object(visit.request))
    request = version_request(body.definition, body.description, body.metadata)
    _patched(world, agent, _patch_of(body))  # refuses, before there is a version
    add_version(world, visit.agent, request)
    return JSONResponse(_view(world, _configured(world, visit.agent, body)))


async def patch_agent(visit: Visit) -> Response:
    """Apply a merge patch to the endpoint and the card; members the cloud does not know are ignored."""
    patch = await json_object(visit.request)
    agent = _patched(visit.world, visit.world.state.agent(visit.agent), patch)
    return JSONResponse(_view(visit.world, visit.world.state.put_agent(agent)))


async def enable_agent(visit: Visit) -> Response:
    """Open the endpoint."""
    agent = visit.world.state.agent(visit.agent)
    visit.world.state.put_agent(replace(agent, is_enabled=True))
    return Response(status_code=204)


async def disable_agent(visit: Visit) -> Response:
    """Close the endpoint; calls in flight end in peace and their sessions are released after them."""
    world = visit.world
    world.state.put_agent(replace(world.state.agent(visit.agent), is_enabled=False))
    world.spawn(world.compute.drain(visit.agent))
    return Response(status_code=204)


async def delete_agent(visit: Visit) -> Response:
    """Delete an agent with its versions; live sessions need ``force=true``."""
    world, key = visit.world, visit.agent
    world.state.agent(key)
    if not flag(visit.query, "force") and any(holds_compute(session) for session in world.state.sessions(key)):
        raise conflict("Agent has active sessions")
    await deletion.delete_agent(world, key)
    return JSONResponse({"object": "agent.deleted", "name": key.name, "deleted": True})


def _free_key(visit: Visit, name: str, param: str = "name") -> AgentKey:
    key = AgentKey(visit.project, checked_name(name, param))
    if visit.world.state.has_agent(key):
        raise conflict(f"Agent '{name}' already exists")
    return key


def _patch_of(body: _AgentBody) -> dict[str, Any]:
    return {name: value for name in ("agent_endpoint", "agent_card") if (value := getattr(body, name)) is not None}


def _configured(world: World, key: AgentKey, body: _AgentBody, made: str | None = None) -> AgentRecord:
    """Return the agent as the body wants it; a rule may name the version that the same request made."""
    agent = _patched(world, world.state.agent(key), _patch_of(body), made)
    if body.state is not None:
        agent = replace(agent, is_enabled=body.state == "enabled")
    if body.digital_worker_type is not None:
        agent = replace(agent, digital_worker_type=body.digital_worker_type)
    return world.state.put_agent(agent)


def _patched(world: World, agent: AgentRecord, patch: dict[str, Any], made: str | None = None) -> AgentRecord:
    if "agent_card" in patch:
        card = patch["agent_card"]
        if card is not None and not isinstance(card, dict):
            raise invalid("'agent_card' must be an object.", "agent_card")
        agent = replace(agent, card=None if card is None else merge(agent.card or {}, card))
    if "agent_endpoint" not in patch:
        return agent
    endpoint = patched_endpoint(agent.endpoint, patch["agent_endpoint"])
    rules = rules_of(endpoint)
    if rules == rules_of(agent.endpoint):
        return replace(agent, endpoint=endpoint)
    refuse_targets(rules, lambda version: None if version == made else _problem_of(world, agent.key, version))
    change = RoutingChange(world.clock.now() + world.switches.routing_lag_seconds, rules)
    return replace(agent, endpoint=endpoint, served=(*agent.served[-4:], change))


def _problem_of(world: World, key: AgentKey, name: str) -> str | None:
    if not world.state.has_version(key, name):
        return f"agent '{key.name}' has no version '{name}'"
    version = world.state.version(key, name)
    if version.is_draft:
        return f"version '{name}' is a draft"
    if version.status != "active" and not world.switches.lenient_routing:
        return f"version '{name}' is {version.status}, not active"
    return None


def _view(world: World, agent: AgentRecord) -> dict[str, Any]:
    return agent_view(agent, world.state.latest(agent.key))
