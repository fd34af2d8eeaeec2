"""The words that every request is put in: a call, its body, its reply."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self
from urllib.parse import quote

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.refusals import parsed
from foundry_rollouts.foundry.retry import Repeat
from foundry_rollouts.foundry.shapes import Shape

LIMIT = timedelta(seconds=10)  #: For one attempt, unless the call names its own.


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes to send, and what they are; ``archive`` makes it the two-part form of a code upload."""

    content: bytes
    content_type: str = "application/json"
    archive: bytes | None = None


def json_body(value: Any, content_type: str = "application/json") -> Body:
    return Body(json.dumps(value).encode(), content_type)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its operation's name, where it goes, and what a second one would mean."""

    operation: str
    method: str
    path: str  #: Behind the endpoint, quoted by ``path_of``.
    repeat: Repeat = Repeat.SAFE
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    limit: timedelta = LIMIT
    tolerates: frozenset[int] = frozenset()  #: Error statuses that are a reply to this caller.
    shape: Shape | None = None  #: What a good answer is; None: whatever bytes come.
    about: Mapping[str, str] = field(default_factory=dict)  #: What a trace says of it beside the usual.
    is_versioned: bool = True  #: False: the project's own OpenAI surface, which takes no ``api-version``.

    @property
    def traced(self) -> tuple[str, dict[str, str]]:
        """What a trace calls one attempt, and what it says of it; an address may hold a signature and is left out."""
        about = {"http.request.method": self.method, "foundry_rollouts.operation": self.operation, **self.about}
        return f"{self.method} {self.operation}", about

    def sending(self, body: Body) -> Self:
        return replace(self, body=body)

    def asking(self, params: Mapping[str, str]) -> Self:
        return replace(self, params={**self.params, **params})


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    latency: timedelta
    is_certain: bool = True  #: No earlier try went without an answer, so none can be carried out later.
    read: dict[str, Any] | None = None  #: The body, where it was read already to see whether it is whole.

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object of the body, empty when there is none."""
        return parsed(self.content) if self.read is None else self.read

    def checked(self, call: Call) -> "Reply":
        """Return a good answer with its body read. Raises CloudError where that is not what ``call`` asks for."""
        if call.shape is None or self.status >= 300:
            return self
        kind = self.headers.get("content-type", "")
        return replace(self, read=call.shape.read(call.operation, self.status, kind, self.content))


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event."""

    event: str
    data: str


def path_of(*segments: str, action: str = "") -> str:
    """Join ``segments`` into a path, quoted; ``action`` stands behind a literal colon. Raises UsageError."""
    if any(segment in {"", ".", ".."} for segment in segments):
        raise UsageError(f"{segments}: a name is empty or a dot, no such thing can exist")
    path = "/".join(quote(segment, safe="@") for segment in segments)
    return f"{path}:{action}" if action else path
