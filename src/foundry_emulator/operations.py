"""Every operation of the cloud that the emulator knows: its name, method, path and query parameters.

What is not in this table is refused. Names are what faults are set by. Literal colons stand in the path as the cloud
has them; the order matters, because ``/agents/{name}:enable`` must be tried before ``/agents/{name}``.
"""

from dataclasses import dataclass

PROJECT = "/api/projects/{project}"
_AGENT = "/agents/{name}"
_ENDPOINT = "/agents/{name}/endpoint"
_SESSION = "/agents/{name}/endpoint/sessions/{session}"
_OPENAI = "/agents/{name}/endpoint/protocols/openai"
_INVOCATIONS = "/agents/{name}/endpoint/protocols/invocations"
_PAGE = frozenset({"limit", "order", "before", "after"})
_LOGS = frozenset({"kind", "tail", "follow"})
_ROUTE = frozenset({"agent_session_id", "session_id"})
_PATH = frozenset({"path"})
_REPLAY = frozenset({"stream", "starting_after", "include", "include[]", "include_obfuscation"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the cloud's API; ``aliases`` are further paths with the same meaning."""

    name: str
    method: str
    path: str
    query: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()
    is_versioned: bool = True

    @property
    def is_call(self) -> bool:
        """Tell whether it speaks to the agent itself."""
        return self.path.startswith((_OPENAI, _INVOCATIONS))

    @property
    def may_stream(self) -> bool:
        """Tell whether its answer may be a stream of events."""
        return self.is_call or self.path.endswith(":logstream") or self.path.startswith("/openai/")

    @property
    def paths(self) -> tuple[str, ...]:
        """Every full path of the operation."""
        return tuple(PROJECT + path for path in (self.path, *self.aliases))


def _openai(name: str, method: str, path: str, query: frozenset[str] = frozenset()) -> tuple[Operation, Operation]:
    """Return an operation of the OpenAI surface twice: at an agent, and at the project without api-version."""
    at_agent = Operation(name, method, _OPENAI + path, query, (f"{_OPENAI}/v1{path}",))
    return at_agent, Operation(f"project_{name}", method, f"/openai/v1{path}", query, is_versioned=False)


OPERATIONS = (
    Operation("agents.list", "GET", "/agents", _PAGE | {"kind"}),
    Operation("agents.create", "POST", "/agents"),
    Operation("agents.download_code", "GET", f"{_AGENT}/code:download", frozenset({"agent_version"})),
    Operation("agents.enable", "POST", f"{_AGENT}:enable"),
    Operation("agents.disable", "POST", f"{_AGENT}:disable"),
    Operation("agents.get", "GET", _AGENT),
    Operation("agents.update", "POST", _AGENT),
    Operation("agents.patch", "PATCH", _AGENT),
    Operation("agents.delete", "DELETE", _AGENT, frozenset({"force"})),
    Operation("versions.list", "GET", f"{_AGENT}/versions", _PAGE | {"include_drafts"}),
    Operation("versions.create", "POST", f"{_AGENT}/versions"),
    Operation(
        "sessions.logstream",
        "GET",
        f"{_AGENT}/versions/{{version}}/sessions/{{session}}:logstream",
        _LOGS,
        (f"{_AGENT}/sessions/{{session}}:logstream",),
    ),
    Operation("versions.get", "GET", f"{_AGENT}/versions/{{version}}"),
    Operation("versions.delete", "DELETE", f"{_AGENT}/versions/{{version}}", frozenset({"force"})),
    Operation("sessions.create", "POST", f"{_ENDPOINT}/sessions"),
    Operation(
        "sessions.list",
        "GET",
        f"{_ENDPOINT}/sessions",
        _PAGE | {"pagination_token"},
        (f"{_AGENT}/sessions",),
    ),
    Operation("sessions.stop", "POST", f"{_SESSION}:stop"),
    Operation("sessions.get", "GET", _SESSION),
    Operation("sessions.delete", "DELETE", _SESSION),
    Operation("files.upload", "PUT", f"{_SESSION}/files/content", _PATH),
    Operation("files.download", "GET", f"{_SESSION}/files/content", _PATH),
    Operation("files.list", "GET", f"{_SESSION}/files", _PAGE | _PATH),
    Operation("files.delete", "DELETE", f"{_SESSION}/files", _PATH | {"recursive"}),
    Operation("files.mkdir", "POST", f"{_SESSION}/files/mkdir"),
    Operation("files.stat", "GET", f"{_SESSION}/files/stat", _PATH),
    *_openai("responses.create", "POST", "/responses"),
    *_openai("responses.get", "GET", "/responses/{response}", _REPLAY),
    *_openai("responses.delete", "DELETE", "/responses/{response}"),
    *_openai("responses.cancel", "POST", "/responses/{response}/cancel"),
    *_openai("responses.input_items", "GET", "/responses/{response}/input_items", _PAGE),
    *_openai("conversations.create", "POST", "/conversations"),
    *_openai("conversations.get", "GET", "/conversations/{conversation}"),
    *_openai("conversations.update", "POST", "/conversations/{conversation}"),
    *_openai("conversations.delete", "DELETE", "/conversations/{conversation}"),
    Operation("invocations.create", "POST", _INVOCATIONS, _ROUTE),
    Operation("invocations.describe", "GET", f"{_INVOCATIONS}/docs/openapi.json", _ROUTE),
    Operation("invocations.get", "GET", f"{_INVOCATIONS}/{{invocation}}", _ROUTE),
    Operation("invocations.cancel", "POST", f"{_INVOCATIONS}/{{invocation}}/cancel", _ROUTE),
)
