"""The answer to one call, read to its end: a body as it came, or what a stream of events came to.

A stream of the Responses protocol ends with its final response, and that response is what was answered; what broke off
on the way, and what failed in the midst of HTTP 200, is reported as it is and never taken for an answer.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.calls import ServerEvent
from foundry_rollouts.foundry.http import OpenStream
from foundry_rollouts.foundry.refusals import parsed, refusal_of
from foundry_rollouts.ports import Answer

LONGEST = 8 * 1024 * 1024  #: Bytes of an answer that are read; what is longer is cut off.

EVENTS = "text/event-stream"
_FINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})
_FAILED = frozenset({"error", "response.failed", "response.incomplete", "response.cancelled"})
_DELTA = "response.output_text.delta"
_DONE = "[DONE]"


async def read_to_end(stream: OpenStream, *, is_response: bool) -> Answer:
    """Return the whole answer, without its latency; one that breaks off before its end is not whole."""
    media = stream.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == EVENTS and stream.status < 300:
        events, is_whole = await _events(stream)
        return _of_response(events, is_whole=is_whole) if is_response else _of_events(events, is_whole=is_whole)
    content, is_whole = await _content(stream)
    code = _code_of(stream, content)
    return Answer(stream.status, content.decode("utf-8", "replace"), timedelta(0), code, is_whole, media)


async def _content(stream: OpenStream) -> tuple[bytes, bool]:
    chunks, size = [], 0
    try:
        async for chunk in stream.chunks():
            chunks.append(chunk)
            size += len(chunk)
            if size > LONGEST:
                return b"".join(chunks)[:LONGEST], False
    except CloudError:
        return b"".join(chunks), False
    return b"".join(chunks), True


async def _events(stream: OpenStream) -> tuple[Sequence[ServerEvent], bool]:
    events, size = [], 0
    try:
        async for event in stream.events():
            events.append(event)
            size += len(event.data)
            if size > LONGEST:
                return events, False
    except CloudError:
        return events, False
    return events, True


def _code_of(stream: OpenStream, content: bytes) -> str | None:
    """Return the error code of a refusal, or of a response that failed inside HTTP 200."""
    if stream.status >= 300:
        return refusal_of(stream.status, stream.headers, content).code
    failed = parsed(content).get("error")
    return str(failed.get("code") or "failed") if isinstance(failed, dict) else None


def _of_response(events: Sequence[ServerEvent], *, is_whole: bool) -> Answer:
    """Return the final response of a stream; a failure among its events outweighs whatever end it came to."""
    final: dict[str, Any] | None = None
    failure: ServerEvent | None = None
    said: list[str] = []
    is_done = False
    for event in events:
        kind, data = _kind(event), parsed(event.data.encode())
        if kind in _FAILED and failure is None:
            failure = event
        if kind in _FINAL and isinstance(data.get("response"), dict):
            final = data["response"]
        if kind == _DELTA:
            said.append(str(data.get("delta") or ""))
        is_done = is_done or event.data.strip() == _DONE
    if failure is not None:
        return _failed(failure)
    if final is None and is_done and is_whole:
        final = _made_of("".join(said))
    if final is None:
        return Answer(200, "".join(said), timedelta(0), None, is_whole=False, media=EVENTS)
    return Answer(200, json.dumps(final), timedelta(0), None, media=EVENTS)


def _of_events(events: Sequence[ServerEvent], *, is_whole: bool) -> Answer:
    """Return the data of the events, a line each: what they mean is the agent's own."""
    for event in events:
        data = parsed(event.data.encode())
        if event.event == "error" or data.get("error") or data.get("type") == "error":
            return _failed(event)
    text = "\n".join(event.data for event in events if event.data.strip() != _DONE)
    return Answer(200, text, timedelta(0), None, is_whole, EVENTS)


def _failed(event: ServerEvent) -> Answer:
    """Return what an event of failure tells; its response stands for itself where it has one."""
    data = parsed(event.data.encode())
    response = data.get("response")
    error = (response if isinstance(response, dict) else data).get("error")
    where = error if isinstance(error, dict) else data
    code = str(where.get("code") or "failed")
    if isinstance(response, dict):
        return Answer(200, json.dumps(response), timedelta(0), code, media=EVENTS)
    return Answer(200, json.dumps({"error": {"code": code}}), timedelta(0), code, media=EVENTS)


def _made_of(text: str) -> dict[str, Any]:
    """Return the response that a stream sent in pieces and ended without naming it again."""
    content = [{"type": "output_text", "text": text}]
    return {"object": "response", "status": "completed", "output": [{"type": "message", "content": content}]}


def _kind(event: ServerEvent) -> str:
    """Return the type of an event: its name, or the type in its data where it has none."""
    if event.event not in {"", "message"}:
        return event.event
    return str(parsed(event.data.encode()).get("type") or "")
