"""Every response says which session and which version answered: its session id and its agent reference."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from foundry_emulator.records import SessionRecord

_DATA = b"data:"


def agent_reference(session: SessionRecord) -> dict[str, str]:
    """Return the reference the gateway puts into requests and responses."""
    return {"type": "agent_reference", "name": session.key.agent.name, "version": session.version}


def with_reference(response: dict[str, Any], session: SessionRecord) -> dict[str, Any]:
    """Return a response object with session and agent reference, on its output items too."""
    reference = agent_reference(session)
    marked = {**response, "agent_session_id": session.key.id, "agent_reference": reference}
    output = response.get("output")
    if isinstance(output, list):
        marked["output"] = [_item_with_reference(item, reference) for item in output]
    return marked


def body_with_reference(body: bytes, session: SessionRecord) -> tuple[bytes, str | None]:
    """Return a response body with its references, and the response's id; any other body is unchanged."""
    try:
        found = json.loads(body)
    except ValueError:
        return body, None
    if not isinstance(found, dict) or found.get("object") != "response":
        return body, None
    return json.dumps(with_reference(found, session)).encode(), str(found.get("id"))


async def events_with_reference(
    chunks: AsyncIterator[bytes], session: SessionRecord, seen: Callable[[str], None]
) -> AsyncIterator[bytes]:
    """Yield a stream of events with references on every response in it; ``seen`` gets the response's id."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield b"".join(_line_with_reference(line, session, seen) + b"\n" for line in lines)
    if rest:
        yield _line_with_reference(rest, session, seen)


def _line_with_reference(line: bytes, session: SessionRecord, seen: Callable[[str], None]) -> bytes:
    if not line.startswith(_DATA) or b'"response"' not in line:
        return line
    try:
        data = json.loads(line[len(_DATA) :])
    except ValueError:
        return line
    response = data.get("response") if isinstance(data, dict) else None
    if not isinstance(response, dict):
        return line
    seen(str(response.get("id")))
    return b"data: " + json.dumps({**data, "response": with_reference(response, session)}).encode()


def _item_with_reference(item: object, reference: dict[str, str]) -> object:
    return {"agent_reference": reference, **item} if isinstance(item, dict) else item
