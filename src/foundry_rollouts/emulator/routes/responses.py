"""The Responses protocol at an agent's endpoint."""

import json
from typing import Any

from starlette.responses import Response

from foundry_rollouts.emulator.bodies import json_object
from foundry_rollouts.emulator.errors import FoundryError, invalid
from foundry_rollouts.emulator.forwarding import body_of, container_headers, is_streamed, streamed, whole
from foundry_rollouts.emulator.gate import Visit
from foundry_rollouts.emulator.placement import SessionWish, create_session, open_agent, usable_session
from foundry_rollouts.emulator.records import AgentRecord, SessionKey, SessionRecord
from foundry_rollouts.emulator.sandboxes.contract import AgentCall
from foundry_rollouts.emulator.stamping import agent_reference, stamped_body, stamped_events

PROTOCOL = "responses"


async def create(visit: Visit) -> Response:
    """Forward a response request to the session it names, or to a new one on a version drawn by weight."""
    agent = open_agent(visit.world, visit.agent)
    refuse_protocol(agent, PROTOCOL)
    body = await json_object(visit.request)
    key = _session(visit, agent, body).key
    await visit.world.compute.awaken(key)
    session = usable_session(visit.world, key)
    enriched = {**body, "agent_session_id": key.id, "agent_reference": agent_reference(session)}
    call = AgentCall("POST", "/responses", container_headers(visit.request), body=json.dumps(enriched).encode())
    answer = await visit.world.compute.call(key, call)
    added = {"x-agent-session-id": key.id}

    def remember(response_id: str) -> None:
        visit.world.bindings.responses[response_id] = key

    if is_streamed(answer):
        return streamed(answer, stamped_events(answer.chunks, session, remember), added)
    content, response_id = stamped_body(await body_of(answer), session)
    if response_id is not None:
        remember(response_id)
    return whole(answer, content, added)


def refuse_protocol(agent: AgentRecord, protocol: str) -> None:
    """Raise the 400 for a protocol that the endpoint does not enable."""
    if protocol not in agent.endpoint["protocol_configuration"]:
        message = f"Protocol '{protocol}' is not enabled on agent '{agent.key.name}'."
        raise FoundryError(400, "endpoint-protocol-not-enabled", message)


def _session(visit: Visit, agent: AgentRecord, body: dict[str, Any]) -> SessionRecord:
    wanted = body.get("agent_session_id") or body.get("session_id") or visit.request.headers.get("x-agent-session-id")
    if wanted is None:
        return _session_of_conversation(visit, agent, body.get("conversation"))
    if not isinstance(wanted, str):
        raise invalid("'agent_session_id' must be a string.", "agent_session_id")
    return usable_session(visit.world, SessionKey(agent.key, wanted))


def _session_of_conversation(visit: Visit, agent: AgentRecord, conversation: object) -> SessionRecord:
    name = conversation.get("id") if isinstance(conversation, dict) else conversation
    if name is None:
        return create_session(visit.world, agent, SessionWish())
    if not isinstance(name, str):
        raise invalid("'conversation' must be a string or an object with an id.", "conversation")
    known = visit.world.bindings.conversations.get((agent.key, name))
    if known is not None and visit.world.state.session(known) is not None:
        return usable_session(visit.world, known)
    session = create_session(visit.world, agent, SessionWish())
    visit.world.bindings.conversations[agent.key, name] = session.key
    return session
