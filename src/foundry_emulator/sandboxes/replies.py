"""What the built-in agent says in the Responses protocol: one JSON object, or the events of a stream."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foundry_emulator.ids import tagged


@dataclass(frozen=True, slots=True)
class Reply:
    """One response before it is written down; no text means that it failed."""

    response_id: str
    created_at: int
    model: str | None
    text: str | None


def text_of(given: object) -> str:
    """Return the text of a Responses ``input``: a string, or the last message of a list."""
    if isinstance(given, str):
        return given
    if isinstance(given, list) and given:
        return text_of(given[-1])
    if isinstance(given, dict):
        return text_of(given.get("content", given.get("text", "")))
    return ""


def response_object(reply: Reply) -> dict[str, Any]:
    """Return the whole OpenAI Response; a failed one has no output and an error."""
    is_failed = reply.text is None
    return {
        **_frame(reply, "failed" if is_failed else "completed"),
        "error": {"code": "server_error", "message": "The agent produced no output."} if is_failed else None,
        "output": [] if is_failed else [_message(reply, tagged("msg"))],
        "usage": _usage(reply.text or ""),
    }


def response_events(reply: Reply) -> Iterator[bytes]:
    """Yield the server-sent events of a streamed response."""
    for number, (kind, data) in enumerate(_events(reply)):
        yield f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **data})}\n\n".encode()


def _events(reply: Reply) -> Iterator[tuple[str, dict[str, Any]]]:
    started = {**_frame(reply, "in_progress"), "output": []}
    yield "response.created", {"response": started}
    yield "response.in_progress", {"response": started}
    finished = response_object(reply)
    if reply.text is None:
        yield "response.failed", {"response": finished}
        return
    message = finished["output"][0]
    where = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    part = message["content"][0]
    yield "response.output_item.added", {"output_index": 0, "item": {**message, "status": "in_progress", "content": []}}
    yield "response.content_part.added", {**where, "part": {**part, "text": ""}}
    for word in _words(reply.text):
        yield "response.output_text.delta", {**where, "delta": word, "logprobs": []}
    yield "response.output_text.done", {**where, "text": reply.text, "logprobs": []}
    yield "response.content_part.done", {**where, "part": part}
    yield "response.output_item.done", {"output_index": 0, "item": message}
    yield "response.completed", {"response": finished}


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]


def _message(reply: Reply, message_id: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": message_id, "status": "completed", "role": "assistant", "content": content}


def _frame(reply: Reply, status: str) -> dict[str, Any]:
    return {
        "id": reply.response_id,
        "object": "response",
        "created_at": reply.created_at,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": reply.model or "emulator",
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


def _usage(text: str) -> dict[str, Any]:
    tokens = len(text.split())
    return {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2 * tokens,
    }
