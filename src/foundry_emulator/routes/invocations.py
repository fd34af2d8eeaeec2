"""The Invocations protocol at an agent's endpoint: bodies pass through unchanged."""

from starlette.responses import Response

from foundry_emulator.bodies import whole_body
from foundry_emulator.errors import invalid, not_found
from foundry_emulator.forwarding import body_of, container_headers, is_streamed, streamed, whole
from foundry_emulator.identity import refuse_other_users, user_of
from foundry_emulator.ids import guid
from foundry_emulator.kinds import refuse_all_but_responses
from foundry_emulator.middleware import Visit
from foundry_emulator.overrides import resolution, wanted_version
from foundry_emulator.placement import SessionRequest, create_session, open_agent, session_of, usable_session
from foundry_emulator.records import AgentRecord, SessionKey, SessionRecord
from foundry_emulator.routes.responses import refuse_protocol
from foundry_emulator.sandboxes.contract import AgentCall

PROTOCOL = "invocations"
INVOCATION_ID = "x-agent-invocation-id"
SESSION_ID = "x-agent-session-id"


async def create(visit: Visit) -> Response:
    """Forward an invocation to the session in the query, or to a new one on a version drawn by weight."""
    agent = _open(visit)
    body = await whole_body(visit.request)
    key = _session(visit, agent).key
    headers = {**container_headers(visit.request), INVOCATION_ID: guid()}
    call = AgentCall("POST", "/invocations", headers, f"agent_session_id={key.id}", body)
    return await _forwarded(visit, key, call)


async def read(visit: Visit) -> Response:
    """Answer how far a long invocation has come; 404 from the container means not there yet."""
    return await _of_invocation(visit, "GET", "")


async def cancel(visit: Visit) -> Response:
    """Ask the container to cancel a long invocation."""
    return await _of_invocation(visit, "POST", "/cancel")


async def describe(visit: Visit) -> Response:
    """Answer the container's own OpenAPI document, from any session of the agent."""
    agent = _open(visit)
    call = AgentCall("GET", "/invocations/docs/openapi.json", container_headers(visit.request))
    return await _forwarded(visit, _session(visit, agent).key, call)


async def _of_invocation(visit: Visit, method: str, suffix: str) -> Response:
    agent = _open(visit)
    invocation = visit.named("invocation")
    named = visit.query.get("agent_session_id") or visit.query.get("session_id")
    key = SessionKey(agent.key, named) if named else visit.world.bindings.session(f"invocation {invocation}")
    if key is None or key.agent != agent.key:
        raise not_found(f"Invocation '{invocation}' not found")
    refuse_other_users(usable_session(visit.world, key), user_of(visit.request, agent))
    headers = {**container_headers(visit.request), INVOCATION_ID: invocation}
    path = f"/invocations/{invocation}{suffix}"
    body = await whole_body(visit.request)
    return await _forwarded(visit, key, AgentCall(method, path, headers, f"agent_session_id={key.id}", body))


async def _forwarded(visit: Visit, key: SessionKey, call: AgentCall) -> Response:
    answer = await visit.world.compute.call(key, call)
    invocation = answer.headers.get(INVOCATION_ID) or call.headers.get(INVOCATION_ID) or guid()
    visit.world.bindings.bind(f"invocation {invocation}", key)
    served = resolution(visit.world, session_of(visit.world, key), visit.request.headers)
    added = {SESSION_ID: key.id, INVOCATION_ID: invocation, **served}
    if is_streamed(answer):
        return streamed(answer, answer.chunks, added)
    return whole(answer, await body_of(answer), added)


def _open(visit: Visit) -> AgentRecord:
    agent = open_agent(visit.world, visit.agent)
    refuse_all_but_responses(visit.world.state, agent.key)
    refuse_protocol(agent, PROTOCOL)
    return agent


def _session(visit: Visit, agent: AgentRecord) -> SessionRecord:
    user = user_of(visit.request, agent)
    version = wanted_version(visit.world, agent, visit.request.headers)
    wanted = visit.query.get("agent_session_id", visit.query.get("session_id"))
    if wanted == "":
        raise invalid("'agent_session_id' must not be empty.", "agent_session_id")
    if wanted is None:
        return create_session(visit.world, agent, SessionRequest(version=version, user=user))
    session = usable_session(visit.world, SessionKey(agent.key, wanted))
    refuse_other_users(session, user)
    return session
