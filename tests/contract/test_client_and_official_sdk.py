"""What the client sends is what the official SDK sends, call by call."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from azure.ai.projects import AIProjectClient
from azure.ai.projects.models import (
    AgentEndpointConfig,
    ContainerConfiguration,
    FixedRatioVersionSelectionRule,
    HostedAgentDefinition,
    ProtocolVersionRecord,
    VersionRefIndicator,
    VersionSelectionRule,
    VersionSelector,
)
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy

from foundry_rollouts.core.routing import Routing
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.foundry.files import Place

SESSION = "session-00000001"


@dataclass
class Recorder:
    """A server that answers everything, and what it was asked: method, path, query, body."""

    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        url = urlsplit(target)
        self.asked.append((method, url.path, dict(parse_qsl(url.query)), json.loads(body) if body else None))
        if url.path.endswith((":enable", ":disable", ":stop")) or (method == "DELETE" and "/sessions/" in url.path):
            return 204, b""
        if url.path.endswith("logstream"):
            return 200, b""
        answer = {"object": "x", "id": "a", "name": "a", "version": "1", "data": [], "entries": [], "deleted": True}
        return 201 if method == "POST" and url.path.endswith("/sessions") else 200, json.dumps(answer).encode()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def endpoint(recorder: Recorder) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = recorder.answer(self.command, self.path, body)
            is_log = self.path.partition("?")[0].endswith("logstream")
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream" if is_log else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer  # noqa: N815 - the names are the server's

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api/projects/p"
        server.shutdown()
        thread.join()


class Credential:
    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return AccessToken("t", 4_000_000_000)


RULES: list[VersionSelectionRule] = [
    FixedRatioVersionSelectionRule(agent_version="1", traffic_percentage=90),
    FixedRatioVersionSelectionRule(agent_version="2", traffic_percentage=10),
]
SDK_DEFINITION = HostedAgentDefinition(
    cpu="1",
    memory="2Gi",
    container_configuration=ContainerConfiguration(image="reg.example/x:1"),
    protocol_versions=[ProtocolVersionRecord(protocol="responses", version="2.0.0")],
    environment_variables={"A": "b"},
)
OUR_DEFINITION = Definition(image="reg.example/x:1", environment={"A": "b"})

Theirs = Callable[[AIProjectClient], Any]
Ours = Callable[[FoundryClient], Any]

CALLS: dict[str, tuple[Theirs, Ours]] = {
    "get an agent": (lambda sdk: sdk.agents.get("a"), lambda our: our.agent("a")),
    "get a version": (lambda sdk: sdk.agents.get_version("a", "2"), lambda our: our.version("a", "2")),
    "route": (
        lambda sdk: sdk.agents.update_details(
            "a", agent_endpoint=AgentEndpointConfig(version_selector=VersionSelector(version_selection_rules=RULES))
        ),
        lambda our: our.route("a", Routing.of({"1": 90, "2": 10})),
    ),
    "enable": (lambda sdk: sdk.agents.enable("a"), lambda our: our.enable("a")),
    "disable": (lambda sdk: sdk.agents.disable("a"), lambda our: our.disable("a")),
    "create a version": (
        lambda sdk: sdk.agents.create_version("a", definition=SDK_DEFINITION),
        lambda our: our.api.versions.create("a", OUR_DEFINITION),
    ),
    "create a draft": (
        lambda sdk: sdk.agents.create_version("a", definition=SDK_DEFINITION, draft=True),
        lambda our: our.api.versions.create_draft("a", OUR_DEFINITION),
    ),
    "delete a version": (
        lambda sdk: sdk.agents.delete_version("a", "1", force=True),
        lambda our: our.api.versions.delete("a", "1", force=True),
    ),
    "delete an agent": (lambda sdk: sdk.agents.delete("a"), lambda our: our.api.agents.delete("a")),
    "open a session": (
        lambda sdk: sdk.agents.create_session(
            "a", version_indicator=VersionRefIndicator(agent_version="1"), agent_session_id=SESSION
        ),
        lambda our: our.open_session("a", "1", SESSION),
    ),
    "get a session": (lambda sdk: sdk.agents.get_session("a", SESSION), lambda our: our.api.sessions.one("a", SESSION)),
    "stop a session": (lambda sdk: sdk.agents.stop_session("a", SESSION), lambda our: our.stop_session("a", SESSION)),
    "delete a session": (
        lambda sdk: sdk.agents.delete_session("a", SESSION),
        lambda our: our.delete_session("a", SESSION),
    ),
    "list files": (
        lambda sdk: list(sdk.agents.list_session_files("a", SESSION, path="/")),
        lambda our: our.api.files.list(Place("a", SESSION)),
    ),
    "delete files": (
        lambda sdk: sdk.agents.delete_session_file("a", SESSION, path="/a.txt", recursive=True),
        lambda our: our.api.files.delete(Place("a", SESSION, "/a.txt"), recursive=True),
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_both_send_the_same(name: str, endpoint: str, recorder: Recorder) -> None:
    theirs, ours = CALLS[name]
    with AIProjectClient(endpoint, Credential(), authentication_policy=SansIOHTTPPolicy()) as sdk:
        theirs(sdk)
    sent = recorder.asked.pop()
    async with FoundryClient(endpoint, FixedToken()) as client:
        await ours(client)
    assert recorder.asked.pop() == sent


async def test_both_list_and_follow_under_the_same_addresses(endpoint: str, recorder: Recorder) -> None:
    with AIProjectClient(endpoint, Credential(), authentication_policy=SansIOHTTPPolicy()) as sdk:
        list(sdk.agents.list(kind="hosted", limit=100))
        list(sdk.agents.list_versions("a", limit=100, order="desc"))
        list(sdk.agents.list_sessions("a", limit=100, order="desc"))
        list(sdk.agents.get_session_log_stream("a", "1", SESSION))
    sent, recorder.asked = recorder.asked, []
    async with FoundryClient(endpoint, FixedToken()) as client:
        assert [agent async for agent in client.agents()] == []
        assert [version async for version in client.api.versions.all("a")] == []
        assert [session async for session in client.sessions("a")] == []
        assert [line async for line in client.log_lines("a", "1", SESSION)] == []
    assert recorder.asked == sent
