"""The Responses protocol of prompt agents: each call draws its version anew, for there are no sessions."""

from typing import Any

from starlette.responses import Response

from foundry_emulator.errors import invalid, response_not_found
from foundry_emulator.forwarding import body_of, container_headers, is_streamed, streamed, whole
from foundry_emulator.kinds import refuse_sessions
from foundry_emulator.middleware import Visit
from foundry_emulator.placement import open_agent, version_for
from foundry_emulator.prompt_agents import refuse_overrides, request_of
from foundry_emulator.records import AgentRecord, VersionRecord
from foundry_emulator.references import author_of, body_with_reference, events_with_reference
from foundry_emulator.sandboxes.contract import AgentAnswer, AgentCall


async def create(visit: Visit, agent: AgentRecord, body: dict[str, Any], wish: str | None) -> Response:
    """Let the version that the caller's reference names answer, or else one drawn by weight."""
    refuse_overrides(body)
    if body.get("agent_session_id"):
        refuse_sessions(visit.world.state, agent.key)
    _refuse_unknown(visit, body.get("conversation"))
    version = version_for(visit.world, agent, wish)
    sent = request_of(body, version, author_of(version).reference)
    call = AgentCall("POST", "/responses", container_headers(visit.request), body=sent)
    return await _signed(visit, version, await visit.world.models.ask(agent, version, call))


async def passed_on(visit: Visit, response: str, method: str, suffix: str) -> Response:
    """Read, delete or cancel a response that a prompt agent gave."""
    author = visit.world.models.author(response)
    is_elsewhere = author is None or ("name" in visit.request.path_params and author[0] != visit.agent)
    if author is None or is_elsewhere or not visit.world.state.has_version(*author):
        raise response_not_found(response)
    agent, version = open_agent(visit.world, author[0]), visit.world.state.version(*author)
    query = "&".join(f"{name}={value}" for name, value in visit.query.items() if name != "api-version")
    call = AgentCall(method, f"/responses/{response}{suffix}", container_headers(visit.request), query)
    return await _signed(visit, version, await visit.world.models.ask(agent, version, call))


async def _signed(visit: Visit, version: VersionRecord, answer: AgentAnswer) -> Response:
    def remember(response: str) -> None:
        visit.world.models.remember(response, version)

    if is_streamed(answer):
        return streamed(answer, events_with_reference(answer.chunks, author_of(version), remember), {})
    content, response_id = body_with_reference(await body_of(answer), author_of(version))
    if response_id is not None:
        remember(response_id)
    return whole(answer, content, {})


def _refuse_unknown(visit: Visit, conversation: object) -> None:
    name = conversation.get("id") if isinstance(conversation, dict) else conversation
    if name is None:
        return
    if not isinstance(name, str):
        raise invalid("'conversation' must be a string or an object with an id.", "conversation")
    visit.world.conversations.conversation(visit.project, name)
