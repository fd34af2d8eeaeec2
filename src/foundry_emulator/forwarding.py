"""Forwarding: what of a caller's request reaches the container, and what of its answer reaches the caller."""

import re
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from foundry_emulator.identity import USER
from foundry_emulator.ids import guid
from foundry_emulator.sandboxes.contract import AgentAnswer, SandboxLostError

_FORWARDED = re.compile(
    r"x-client-.*|accept.*|content-.*|traceparent|tracestate|baggage|x-ms-client-request-id|x-request-id|request-id"
    r"|correlation-context|request-context|ms-cv|user-agent|x-agent-response-id"
)
_NOT_RETURNED = {"connection", "keep-alive", "transfer-encoding", "content-length", "server", "date"}
_STREAMED = ("text/event-stream", "application/x-ndjson")


def container_headers(request: Request) -> dict[str, str]:
    """Return the request headers of the allow list, and the call id the platform adds; never Authorization."""
    passed = {
        name: value
        for name, value in request.headers.items()
        if _FORWARDED.fullmatch(name) and name not in ("content-length", "accept-encoding")
    }
    user = request.headers.get(USER, "emulator-user")
    return {**passed, "x-agent-user-id": user, "x-agent-foundry-call-id": guid()}


def is_streamed(answer: AgentAnswer) -> bool:
    """Tell whether the container answers with a stream."""
    return answer.headers.get("content-type", "").startswith(_STREAMED)


async def body_of(answer: AgentAnswer) -> bytes:
    """Read the answer's body to its end."""
    return b"".join([chunk async for chunk in answer.chunks])


def caller_headers(answer: AgentAnswer, added: Mapping[str, str]) -> dict[str, str]:
    """Return the container's headers without those of its own connection, and what the platform adds."""
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_RETURNED}
    return {**kept, **added}


def whole(answer: AgentAnswer, body: bytes, added: Mapping[str, str]) -> Response:
    """Return an answer whose body was read."""
    return Response(body, answer.status, caller_headers(answer, added))


def streamed(answer: AgentAnswer, chunks: AsyncIterator[bytes], added: Mapping[str, str]) -> Response:
    """Return an answer that is passed on as it comes; a lost sandbox ends it early."""
    return StreamingResponse(_until_lost(chunks), answer.status, caller_headers(answer, added))


async def _until_lost(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except SandboxLostError:
        return
