"""The Responses protocol, at an agent's endpoint and at the project with an ``agent_reference``."""

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from foundry_emulator.bodies import json_object, parsed, whole_body
from foundry_emulator.errors import FoundryError, invalid, response_not_found
from foundry_emulator.forwarding import body_of, container_headers, is_streamed, streamed, whole
from foundry_emulator.identity import refuse_other_users, user_of
from foundry_emulator.kinds import kind_of_agent
from foundry_emulator.middleware import Visit
from foundry_emulator.overrides import resolution, wanted_version
from foundry_emulator.placement import SessionRequest, create_session, open_agent, usable_session
from foundry_emulator.records import AgentKey, AgentRecord, SessionKey, SessionRecord
from foundry_emulator.references import author_of, body_with_reference, events_with_reference
from foundry_emulator.routes import prompt_responses
from foundry_emulator.sandboxes.contract import AgentAnswer, AgentCall

PROTOCOL = "responses"


class _AgentReference(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    type: Literal["agent_reference"] = "agent_reference"
    version: Annotated[str, Field(min_length=1)] | None = None


async def create(visit: Visit) -> Response:
    """Forward a response request to the session it names, or to a new one on a version drawn by weight."""
    body = await json_object(visit.request)
    return await _respond(visit, open_agent(visit.world, visit.agent), body, None)


async def create_by_reference(visit: Visit) -> Response:
    """Do the same at the project's own address, for the agent that the body refers to."""
    body = await json_object(visit.request)
    if "agent_reference" not in body:
        raise invalid("'agent_reference' is required: the local Foundry serves no models.", "agent_reference")
    reference = parsed(_AgentReference, body["agent_reference"], "agent_reference")
    agent = open_agent(visit.world, AgentKey(visit.project, reference.name))
    return await _respond(visit, agent, body, reference.version)


async def read(visit: Visit) -> Response:
    """Answer a stored response, or replay it as a stream."""
    return await _passed_on(visit, "GET", "")


async def delete(visit: Visit) -> Response:
    """Delete a stored response."""
    return await _passed_on(visit, "DELETE", "")


async def cancel(visit: Visit) -> Response:
    """Cancel a response in the background."""
    return await _passed_on(visit, "POST", "/cancel")


async def input_items(visit: Visit) -> Response:
    """Answer what a stored response was asked."""
    return await _passed_on(visit, "GET", "/input_items")


def refuse_protocol(agent: AgentRecord, protocol: str) -> None:
    """Raise the 400 for a protocol that the endpoint does not enable."""
    if protocol not in agent.endpoint["protocol_configuration"]:
        message = f"Protocol '{protocol}' is not enabled on agent '{agent.key.name}'."
        raise FoundryError(400, "endpoint-protocol-not-enabled", message)


async def _respond(visit: Visit, agent: AgentRecord, body: dict[str, Any], version: str | None) -> Response:
    refuse_protocol(agent, PROTOCOL)
    if kind_of_agent(visit.world.state, agent.key) == "prompt":
        return await prompt_responses.create(visit, agent, body, version)
    version = version or wanted_version(visit.world, agent, visit.request.headers)
    request = SessionRequest(version=version, user=user_of(visit.request, agent))
    key = _session(visit, agent, body, request).key
    await visit.world.compute.awaken(key)
    session = usable_session(visit.world, key)
    enriched = {**body, "agent_session_id": key.id, "agent_reference": author_of(session).reference}
    call = AgentCall("POST", "/responses", container_headers(visit.request), body=json.dumps(enriched).encode())
    return await _with_reference(visit, session, await visit.world.compute.call(key, call))


async def _with_reference(visit: Visit, session: SessionRecord, answer: AgentAnswer) -> Response:
    added = {"x-agent-session-id": session.key.id, **resolution(visit.world, session, visit.request.headers)}

    def remember(response_id: str) -> None:
        visit.world.bindings.bind(f"response {response_id}", session.key)

    if is_streamed(answer):
        return streamed(answer, events_with_reference(answer.chunks, author_of(session), remember), added)
    content, response_id = body_with_reference(await body_of(answer), author_of(session))
    if response_id is not None:
        remember(response_id)
    return whole(answer, content, added)


async def _passed_on(visit: Visit, method: str, suffix: str) -> Response:
    response_id = visit.named("response")
    if visit.world.models.author(response_id):
        return await prompt_responses.passed_on(visit, response_id, method, suffix)
    key = visit.world.bindings.session(f"response {response_id}")
    is_elsewhere = "name" in visit.request.path_params and key is not None and key.agent != visit.agent
    if key is None or is_elsewhere or visit.world.state.session(key) is None:
        raise response_not_found(response_id)
    agent = open_agent(visit.world, key.agent)
    session = usable_session(visit.world, key)
    refuse_other_users(session, user_of(visit.request, agent))
    query = "&".join(f"{name}={value}" for name, value in visit.query.items() if name != "api-version")
    path = f"/responses/{response_id}{suffix}"
    call = AgentCall(method, path, container_headers(visit.request), query, await whole_body(visit.request))
    return await _with_reference(visit, session, await visit.world.compute.call(key, call))


def _session(visit: Visit, agent: AgentRecord, body: dict[str, Any], request: SessionRequest) -> SessionRecord:
    named = [body[name] for name in ("agent_session_id", "session_id") if body.get(name) is not None]
    wanted = named[0] if named else visit.request.headers.get("x-agent-session-id")
    if wanted is None:
        return _session_of_conversation(visit, agent, body.get("conversation"), request)
    if not isinstance(wanted, str) or not wanted:
        raise invalid("'agent_session_id' must be a string that is not empty.", "agent_session_id")
    session = usable_session(visit.world, SessionKey(agent.key, wanted))
    refuse_other_users(session, request.user)
    return session


def _session_of_conversation(
    visit: Visit, agent: AgentRecord, conversation: object, request: SessionRequest
) -> SessionRecord:
    name = conversation.get("id") if isinstance(conversation, dict) else conversation
    if name is None:
        return create_session(visit.world, agent, request)
    if not isinstance(name, str):
        raise invalid("'conversation' must be a string or an object with an id.", "conversation")
    known = visit.world.conversations.conversation(agent.key.project, name)
    bound = known.session_of(agent.key)
    if bound is not None and visit.world.state.session(bound) is not None:
        session = usable_session(visit.world, bound)
        refuse_other_users(session, request.user)
        return session
    session = create_session(visit.world, agent, replace(request, id=None))
    visit.world.conversations.bind(known, session.key)
    return session
