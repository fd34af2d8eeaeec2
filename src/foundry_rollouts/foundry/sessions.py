"""Sessions: conversations, each bound to one version when it is created."""

import re
from collections.abc import AsyncGenerator
from datetime import timedelta

from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.calls import Call, Reply, json_body, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.paging import items
from foundry_rollouts.foundry.polling import Pace, WaitTimeoutError, read_until
from foundry_rollouts.foundry.refusals import refusal_of
from foundry_rollouts.foundry.retry import Repeat
from foundry_rollouts.foundry.wire import session_request, session_seen
from foundry_rollouts.ports import SessionSeen

CREATE_LIMIT = timedelta(seconds=150)  #: A cold sandbox takes its time.
WAKING = Pace(limit=timedelta(seconds=90), first=timedelta(seconds=10), every=timedelta(seconds=10))

_SLOW_TO_WAKE = re.compile(r"Session '([A-Za-z0-9_-]{8,128})'")


class Sessions:
    """The sessions of one project's agents. Every method raises CloudError."""

    def __init__(self, transport: Transport, waking: Pace = WAKING) -> None:
        self._transport = transport
        self._waking = waking

    async def all(self, agent: str) -> AsyncGenerator[SessionSeen, None]:
        """Yield the sessions of ``agent`` that this identity may see, newest first."""
        path, params = path_of("agents", agent, "endpoint", "sessions"), {"order": "desc"}
        call = Call("sessions.list", "GET", path, params=params, shape=shapes.sessions())
        async for item in items(self._transport, call, id_field="agent_session_id"):
            yield session_seen(item)

    async def one(self, agent: str, session: str) -> SessionSeen:
        path = path_of("agents", agent, "endpoint", "sessions", session)
        call = Call("sessions.get", "GET", path, shape=shapes.session(session))
        return session_seen((await self._transport.request(call)).json)

    async def create(self, agent: str, version: str | None = None, session: str | None = None) -> SessionSeen:
        """Create a session on ``version``, or on one that the routing draws; the cloud may choose the id.

        A sandbox that is slow to wake is waited for: it is this session, and no second one is made. An id of ours
        that is known already, from a try whose answer was lost, is this session too if it is on ``version``.
        """
        call = Call(
            "sessions.create",
            "POST",
            path_of("agents", agent, "endpoint", "sessions"),
            Repeat.SAFE if session else Repeat.ONCE,
            body=json_body(session_request(version, session)),
            limit=CREATE_LIMIT,
            shape=shapes.session(session),
            tolerates=frozenset({409, 424}),
        )
        reply = await self._transport.request(call)
        if reply.status < 300:
            return session_seen(reply.json)
        refused = CloudError(call.operation, refusal_of(reply.status, reply.headers, reply.content))
        waking = session or _named_in(reply)
        if reply.status == 424 and waking:
            return await self._awake(agent, waking, refused)
        if reply.status == 409 and session:
            known = await self.one(agent, session)
            if version in {None, known.version} and not known.status.is_over:
                return known
        raise refused

    async def _awake(self, agent: str, session: str, refused: CloudError) -> SessionSeen:
        def is_settled(seen: SessionSeen) -> bool:
            return not seen.status.is_starting

        try:
            seen = await read_until(lambda: self.one(agent, session), is_settled, self._waking, session)
        except WaitTimeoutError:
            raise refused from None
        if seen.status.is_over:
            raise refused
        return seen

    async def stop(self, agent: str, session: str) -> None:
        """End the compute of a session and keep its files; one that is stopped already is fine."""
        path = path_of("agents", agent, "endpoint", "sessions", session, action="stop")
        call = Call("sessions.stop", "POST", path, tolerates=frozenset({409}), shape=shapes.done())
        reply = await self._transport.request(call)
        refusal = refusal_of(reply.status, reply.headers, reply.content)
        if reply.status == 409 and refusal.code != "session_already_stopped":
            raise CloudError("sessions.stop", refusal)

    async def delete(self, agent: str, session: str) -> None:
        """End a session and remove its files; one that is gone already is fine."""
        path = path_of("agents", agent, "endpoint", "sessions", session)
        call = Call("sessions.delete", "DELETE", path, tolerates=frozenset({404}), shape=shapes.done())
        await self._transport.request(call)


def _named_in(reply: Reply) -> str | None:
    """Return the id of the session that is slow to wake: a header has it, or only the text."""
    if header := reply.headers.get("x-agent-session-id"):
        return header
    found = _SLOW_TO_WAKE.search(reply.content.decode("utf-8", "replace"))
    return found.group(1) if found else None
