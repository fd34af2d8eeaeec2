"""Sessions of an endpoint: create, list, get, stop, delete, and their log streams."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response, StreamingResponse

from foundry_emulator.bodies import flag, json_object, parsed
from foundry_emulator.deletion import delete_sessions
from foundry_emulator.errors import invalid, session_not_found
from foundry_emulator.identity import refuse_other_users, user_of
from foundry_emulator.kinds import refuse_sessions
from foundry_emulator.logs import TAIL_LINES, LogTail, event
from foundry_emulator.middleware import Visit
from foundry_emulator.paging import DIGITS, page
from foundry_emulator.placement import SessionRequest, aged, create_session, open_agent, session_of
from foundry_emulator.records import SessionRecord
from foundry_emulator.views import session_view


class _VersionIndicator(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["version_ref"]
    agent_version: Annotated[str, Field(min_length=1)]


class _NewSessionBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    agent_session_id: str | None = None
    version_indicator: _VersionIndicator | None = None


async def create(visit: Visit) -> Response:
    """Create a session, wait until its sandbox is ready, and answer 201."""
    body = parsed(_NewSessionBody, await json_object(visit.request, is_optional=True))
    agent = open_agent(visit.world, visit.agent)
    refuse_sessions(visit.world.state, agent.key)
    version = body.version_indicator.agent_version if body.version_indicator else None
    user = user_of(visit.request, agent)
    session = create_session(visit.world, agent, SessionRequest(body.agent_session_id, version, user))
    await visit.world.compute.awaken(session.key)
    view = session_view(session_of(visit.world, session.key))
    return JSONResponse(view, 201, {"x-agent-session-id": session.key.id})


async def list_sessions(visit: Visit) -> Response:
    """Answer one page of sessions; ``pagination_token`` is the other dialect of ``after``."""
    user = user_of(visit.request, visit.world.state.agent(visit.agent))
    query = visit.query
    token = query.pop("pagination_token", None)
    if token:
        query["after"] = token
    now = visit.world.clock.now()
    sessions = [each for each in visit.world.state.sessions(visit.agent) if user in (None, each.user)]
    envelope = page(sessions, query, lambda session: session.key.id, lambda session: session_view(aged(session, now)))
    if envelope["has_more"]:
        envelope["pagination_token"] = envelope["last_id"]
    return JSONResponse(envelope)


async def read(visit: Visit) -> Response:
    """Answer one session."""
    return JSONResponse(session_view(_known(visit)))


async def stop(visit: Visit) -> Response:
    """End the compute and keep the files; a stopped session stays stopped."""
    await visit.world.compute.release(_known(visit).key)
    return Response(status_code=204)


async def delete(visit: Visit) -> Response:
    """Delete the session with its compute and files; an unknown one is gone already."""
    agent = visit.world.state.agent(visit.agent)
    session = visit.world.state.session(visit.session)
    if session is not None:
        refuse_other_users(session, user_of(visit.request, agent))
        await delete_sessions(visit.world, [session])
    return Response(status_code=204)


async def log_stream(visit: Visit) -> Response:
    """Answer the session's log as server-sent events: a preamble, the recent lines, then news."""
    session = _known(visit)
    wanted = visit.request.path_params.get("version", session.version)
    log = visit.world.compute.log_of(session.key)
    if log is None or wanted != session.version:
        raise session_not_found(session.key.id)
    tail = _tail(visit)
    _refuse_words(visit)
    chunks = _frames(visit, session, log, tail)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "x-agent-session-id": session.key.id}
    return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)


async def _frames(visit: Visit, session: SessionRecord, log: LogTail, tail: int) -> AsyncIterator[bytes]:
    yield event(
        {
            "timestamp": visit.world.clock.stamp(),
            "session_id": session.key.id,
            "session_state": "Running" if log.is_open else "Stopped",
            "agent": session.key.agent.name,
            "version": session.version,
            "last_accessed": visit.world.clock.stamp_of(session.last_accessed_at),
        }
    )
    async for frame in log.follow(tail):
        yield frame


def _tail(visit: Visit) -> int:
    text = visit.query.get("tail", str(TAIL_LINES))
    if not DIGITS.fullmatch(text) or not 1 <= int(text) <= TAIL_LINES:
        raise invalid(f"Invalid value '{text}' for 'tail': expected 1 to {TAIL_LINES}.", "tail")
    return int(text)


def _refuse_words(visit: Visit) -> None:
    # Both are accepted and change nothing: one log holds both kinds, and clients end the stream themselves.
    flag(visit.query, "follow")
    if visit.query.get("kind", "console") not in ("console", "system"):
        raise invalid(f"Invalid value '{visit.query['kind']}' for 'kind': expected console or system.", "kind")


def _known(visit: Visit) -> SessionRecord:
    agent = visit.world.state.agent(visit.agent)
    session = session_of(visit.world, visit.session)
    refuse_other_users(session, user_of(visit.request, agent))
    return session
