"""A session's log, line by line, while it is written; the cloud keeps no old lines.

The shape of a frame is no contract of the cloud: what cannot be read is passed on as text.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from foundry_rollouts.foundry.calls import Call, ServerEvent, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.reconnect import Reconnecting, follow
from foundry_rollouts.foundry.refusals import parsed
from foundry_rollouts.foundry.wire import instant
from foundry_rollouts.ports import LogLine

_HEADERS = {"Accept": "text/event-stream", "Foundry-Features": "HostedAgents=V1Preview"}


class Logs:
    """The logs of live sessions. Every method raises CloudError; 404 means that there is no sandbox yet."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def follow(
        self, agent: str, version: str, session: str, timings: Reconnecting | None = None
    ) -> AsyncGenerator[LogLine, None]:
        """Yield lines for as long as the session lives, over as many streams as it takes, none twice."""
        async with aclosing(follow(lambda: self.lines(agent, version, session), timings)) as lines:
            async for line in lines:
                yield line

    async def lines(self, agent: str, version: str, session: str) -> AsyncGenerator[LogLine, None]:
        """Yield lines until the server ends the stream: after 30 minutes, after 2 silent ones, or with the session."""
        path = path_of("agents", agent, "versions", version, "sessions", session, action="logstream")
        async with (
            self._transport.stream(Call("logs.stream", "GET", path, headers=_HEADERS)) as answer,
            aclosing(answer.events()) as events,
        ):
            async for event in events:
                if line := line_of(event):
                    yield line


def line_of(event: ServerEvent) -> LogLine | None:
    """Read one frame; None for the preamble and for frames without content."""
    json = parsed(event.data.encode())
    if event.event == "error":
        return LogLine(instant(json.get("timestamp")), "status", f"error: {_text(json) or event.data}")
    if not json:
        return LogLine(None, "stdout", event.data) if event.data.strip() else None
    if "message" not in json:
        state = json.get("session_state")
        return LogLine(instant(json.get("timestamp")), "status", f"session {state}") if state else None
    stream = json.get("stream")
    known = stream if stream in ("stdout", "stderr", "status") else "stdout"
    return LogLine(instant(json.get("timestamp")), known, str(json["message"]))


def _text(json: dict[str, Any]) -> str:
    inner = json.get("error")
    found = inner.get("message") if isinstance(inner, dict) else inner
    return str(json.get("message") or found or "")
