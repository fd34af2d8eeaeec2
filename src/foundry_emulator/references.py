"""Every response says which session and which version answered: its session id and its agent reference."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from foundry_emulator.records import SessionRecord, VersionRecord

_DATA = b"data:"


@dataclass(frozen=True, slots=True)
class Author:
    """Which version answered, and in which session if it has any."""

    agent: str
    version: str
    session: str | None = None

    @property
    def reference(self) -> dict[str, str]:
        """The reference that the gateway puts into requests and responses."""
        return {"type": "agent_reference", "name": self.agent, "version": self.version}


def author_of(who: SessionRecord | VersionRecord) -> Author:
    """Return who answers: a session, or a version that has none."""
    if isinstance(who, VersionRecord):
        return Author(who.agent.name, who.version)
    return Author(who.key.agent.name, who.version, who.key.id)


def with_reference(response: dict[str, Any], author: Author) -> dict[str, Any]:
    """Return a response object with session and agent reference, on its output items too."""
    reference = author.reference
    session = {"agent_session_id": author.session} if author.session else {}
    marked = {**response, **session, "agent_reference": reference}
    output = response.get("output")
    if isinstance(output, list):
        marked["output"] = [_item_with_reference(item, reference) for item in output]
    return marked


def body_with_reference(body: bytes, author: Author) -> tuple[bytes, str | None]:
    """Return a response body with its references, and the response's id; any other body is unchanged."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return body, None
    if not isinstance(found, dict) or found.get("object") != "response":
        return body, None
    return json.dumps(with_reference(found, author)).encode(), str(found.get("id"))


async def events_with_reference(
    chunks: AsyncIterator[bytes], author: Author, seen: Callable[[str], None]
) -> AsyncIterator[bytes]:
    """Yield a stream of events with references on every response in it; ``seen`` gets the response's id."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield b"".join(_line_with_reference(line, author, seen) + b"\n" for line in lines)
    if rest:
        yield _line_with_reference(rest, author, seen)


def _line_with_reference(line: bytes, author: Author, seen: Callable[[str], None]) -> bytes:
    if not line.startswith(_DATA) or b'"response"' not in line:
        return line
    try:
        data = json.loads(line[len(_DATA) :])
    except (ValueError, RecursionError):
        return line
    response = data.get("response") if isinstance(data, dict) else None
    if not isinstance(response, dict):
        return line
    seen(str(response.get("id")))
    return b"data: " + json.dumps({**data, "response": with_reference(response, author)}).encode()


def _item_with_reference(item: object, reference: dict[str, str]) -> object:
    return {"agent_reference": reference, **item} if isinstance(item, dict) else item
