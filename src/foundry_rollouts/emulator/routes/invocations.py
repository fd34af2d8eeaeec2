"""The Invocations protocol at an agent's endpoint: bodies pass through unchanged."""

from starlette.responses import Response

from foundry_rollouts.emulator.forwarding import body_of, container_headers, is_streamed, streamed, whole
from foundry_rollouts.emulator.gate import Visit
from foundry_rollouts.emulator.ids import guid
from foundry_rollouts.emulator.placement import SessionWish, create_session, open_agent, usable_session
from foundry_rollouts.emulator.records import AgentRecord, SessionKey, SessionRecord
from foundry_rollouts.emulator.routes.responses import refuse_protocol
from foundry_rollouts.emulator.sandboxes.contract import AgentAnswer, AgentCall

PROTOCOL = "invocations"
INVOCATION_ID = "x-agent-invocation-id"


async def create(visit: Visit) -> Response:
    """Forward an invocation to the session in the query, or to a new one on a version drawn by weight."""
    agent = open_agent(visit.world, visit.agent)
    refuse_protocol(agent, PROTOCOL)
    key = _session(visit, agent).key
    headers = {**container_headers(visit.request), INVOCATION_ID: guid()}
    query = f"agent_session_id={key.id}"
    call = AgentCall("POST", "/invocations", headers, query, await visit.request.body())
    answer = await visit.world.compute.call(key, call)
    invocation = answer.headers.get(INVOCATION_ID, headers[INVOCATION_ID])
    visit.world.bindings.invocations[invocation] = key
    return await passed_on(answer, {"x-agent-session-id": key.id, INVOCATION_ID: invocation})


async def passed_on(answer: AgentAnswer, added: dict[str, str]) -> Response:
    """Return the container's answer, as a stream if it is one."""
    if is_streamed(answer):
        return streamed(answer, answer.chunks, added)
    return whole(answer, await body_of(answer), added)


def _session(visit: Visit, agent: AgentRecord) -> SessionRecord:
    wanted = visit.query.get("agent_session_id") or visit.query.get("session_id")
    if wanted:
        return usable_session(visit.world, SessionKey(agent.key, wanted))
    return create_session(visit.world, agent, SessionWish())
