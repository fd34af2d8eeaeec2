"""The official SDK, unmodified, drives the emulator over plain HTTP."""

import io
import itertools
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from azure.ai.projects import AIProjectClient
from azure.ai.projects.models import (
    AgentEndpointConfig,
    AgentVersionDetails,
    CodeConfiguration,
    FixedRatioVersionSelectionRule,
    HostedAgentDefinition,
    ProtocolVersionRecord,
    VersionRefIndicator,
    VersionSelectionRule,
    VersionSelector,
)
from azure.core.credentials import AccessToken
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from foundry_rollouts.emulator.background import running
from foundry_rollouts.emulator.config import EmulatorConfig, Lifecycle

AGENT_CODE = """
import http.server, json, os

class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"status": "healthy"})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        print("asked:", body.get("input"), flush=True)
        text = f"{os.environ['FOUNDRY_AGENT_VERSION']} says {body.get('input')}"
        content = [{"type": "output_text", "text": text, "annotations": []}]
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
        self.answer({"id": "caresp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m",
                     "output": [message], "parallel_tool_calls": True, "tool_choice": "auto", "tools": []})

    def answer(self, document):
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
"""


class PlainBearer(SansIOHTTPPolicy[Any, Any]):
    """Sets the header that the SDK's own policy refuses to send without TLS."""

    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.http_request.headers["Authorization"] = "Bearer local"


class FixedCredential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("local", int(time.time()) + 3600)  # noqa: TID251


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("seconds", 0.05), seed=7)) as url:
        yield url


@pytest.fixture
def project(base_url: str) -> Iterator[AIProjectClient]:
    client = AIProjectClient(
        f"{base_url}/api/projects/{next(PROJECTS)}", FixedCredential(), authentication_policy=PlainBearer()
    )
    with client:
        yield client


PROJECTS = (f"sdk-{number}" for number in itertools.count())


def echo(**settings: str) -> HostedAgentDefinition:
    parameters = "&".join(f"{name}={value}" for name, value in settings.items())
    return HostedAgentDefinition(
        {
            "kind": "hosted",
            "cpu": "1",
            "memory": "2Gi",
            "container_configuration": {"image": f"emulator://echo?{parameters}".rstrip("?")},
            "protocol_versions": [
                {"protocol": "responses", "version": "2.0.0"},
                {"protocol": "invocations", "version": "2.0.0"},
            ],
        }
    )


def archive(**files: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, text in files.items():
            target.writestr(zipfile.ZipInfo(name.replace("_py", ".py").replace("_txt", ".txt")), text)
    buffer.name = "agent.zip"
    buffer.seek(0)
    return buffer


def code_version(project: AIProjectClient, agent: str, code: str = AGENT_CODE) -> AgentVersionDetails:
    definition = HostedAgentDefinition(
        cpu="1",
        memory="2Gi",
        code_configuration=CodeConfiguration(
            runtime="python_3_13", entry_point=["python", "main.py"], dependency_resolution="remote_build"
        ),
        protocol_versions=[ProtocolVersionRecord(protocol="responses", version="2.0.0")],
    )
    return project.agents.create_version_from_code(agent, definition=definition, code=archive(main_py=code))


def settled(project: AIProjectClient, version: AgentVersionDetails) -> AgentVersionDetails:
    for _ in range(400):
        version = project.agents.get_version(version.name, version.version)
        if version.status != "creating":
            return version
        time.sleep(0.02)
    raise AssertionError("the version stayed in creating")


def active(project: AIProjectClient, version: AgentVersionDetails) -> str:
    version = settled(project, version)
    assert version.status == "active", version.get("error")
    return version.version


def route(project: AIProjectClient, agent: str, **percent: int) -> Any:
    rules: list[VersionSelectionRule] = [
        FixedRatioVersionSelectionRule(agent_version=name.strip("v"), traffic_percentage=share)
        for name, share in percent.items()
    ]
    selector = VersionSelector(version_selection_rules=rules)
    return project.agents.update_details(agent, agent_endpoint=AgentEndpointConfig(version_selector=selector))


def test_a_new_agent_sends_everything_to_latest(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("plain", definition=echo()))
    agent = project.agents.get("plain")
    rules = agent["agent_endpoint"]["version_selector"]["version_selection_rules"]
    assert rules == [{"type": "FixedRatio", "agent_version": "@latest", "traffic_percentage": 100}]
    assert (agent.state, agent.versions.latest.version) == ("enabled", "1")


def test_the_pager_ends_after_every_agent_was_seen_once(project: AIProjectClient) -> None:
    for number in range(5):
        project.agents.create_version(f"paged-{number}", definition=echo())
    names = [agent.name for agent in project.agents.list(limit=2, kind="hosted")]
    assert names == [f"paged-{number}" for number in (4, 3, 2, 1, 0)]


def test_an_unknown_agent_is_the_sdks_not_found(project: AIProjectClient) -> None:
    with pytest.raises(ResourceNotFoundError) as caught:
        project.agents.get("nobody")
    assert caught.value.error is not None
    assert caught.value.error.code == "not_found"


def test_source_code_runs_as_a_process_and_answers_the_openai_client(project: AIProjectClient) -> None:
    version = active(project, code_version(project, "coded"))
    with project.get_openai_client(agent_name="coded") as client:
        response = client.responses.create(input="hello")
    assert response.output_text == f"{version} says hello"
    assert response.model_extra is not None
    assert response.model_extra["agent_reference"] == {"type": "agent_reference", "name": "coded", "version": "1"}
    assert project.agents.get_session("coded", response.model_extra["agent_session_id"]).status == "active"


def test_the_same_code_is_the_same_version_and_changed_code_the_next(project: AIProjectClient) -> None:
    first = code_version(project, "dedup")
    assert code_version(project, "dedup").version == first.version == "1"
    assert code_version(project, "dedup", AGENT_CODE + "# changed").version == "2"


def test_sessions_divide_by_weight(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("split", definition=echo()))
    active(project, project.agents.create_version("split", definition=echo(reply="canary")))
    agent = route(project, "split", v1=90, v2=10)
    assert len(agent.agent_endpoint.version_selector.version_selection_rules) == 2
    bound = [project.agents.create_session("split", {})["version_indicator"]["agent_version"] for _ in range(200)]
    assert 5 <= bound.count("2") <= 40
    assert bound.count("1") + bound.count("2") == 200


def test_a_pinned_session_stays_on_its_version(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("pinned", definition=echo(reply="one")))
    active(project, project.agents.create_version("pinned", definition=echo(reply="two")))
    indicator = VersionRefIndicator(agent_version="1")
    session = project.agents.create_session("pinned", version_indicator=indicator, agent_session_id="session-one")
    body = {"agent_session_id": session.agent_session_id}
    with project.get_openai_client(agent_name="pinned") as client:
        answers = {client.responses.create(input="x", extra_body=body).output_text for _ in range(5)}
    assert answers == {"one"}


def test_a_streamed_response_arrives_as_events(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("streamed", definition=echo()))
    with project.get_openai_client(agent_name="streamed") as client:
        events = list(client.responses.create(input="a b c", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "a b c"
    assert events[-1].response.model_extra is not None
    assert events[-1].response.model_extra["agent_reference"]["version"] == "1"


def test_the_log_stream_shows_what_the_process_printed(project: AIProjectClient) -> None:
    version = active(project, code_version(project, "logged"))
    session = project.agents.create_session("logged", version_indicator=VersionRefIndicator(agent_version=version))
    body = {"agent_session_id": session.agent_session_id}
    with project.get_openai_client(agent_name="logged") as client:
        client.responses.create(input="ping", extra_body=body)
    text = b""
    stream: Any = project.agents.get_session_log_stream("logged", version, session.agent_session_id)
    for chunk in stream:
        text += chunk
        if b"asked: ping" in text:
            break
    assert text.startswith(b'event: log\ndata: {"timestamp": "')
    assert b'"stream": "stdout", "message": "asked: ping"}\n\n' in text


def test_a_disabled_agent_refuses_until_it_is_enabled_again(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("closed", definition=echo()))
    project.agents.disable("closed")
    assert project.agents.get("closed").state == "disabled"
    with project.get_openai_client(agent_name="closed") as client, pytest.raises(openai.PermissionDeniedError):
        client.responses.create(input="x")
    with pytest.raises(HttpResponseError) as caught:
        project.agents.create_session("closed", {})
    assert caught.value.status_code == 403
    project.agents.enable("closed")
    with project.get_openai_client(agent_name="closed") as client:
        assert client.responses.create(input="x").output_text == "x"


def test_an_agent_with_live_sessions_is_deleted_only_by_force(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("busy", definition=echo()))
    session = project.agents.create_session("busy", {})
    with pytest.raises(ResourceExistsError, match="active sessions"):
        project.agents.delete("busy")
    assert project.agents.delete("busy", force=True).deleted
    with pytest.raises(ResourceNotFoundError):
        project.agents.get_session("busy", session.agent_session_id)


def test_a_crashing_entry_point_fails_the_session_and_leaves_its_log(project: AIProjectClient, base_url: str) -> None:
    active(project, code_version(project, "crash", "import nowhere_to_be_found"))
    with pytest.raises(HttpResponseError, match="session_creation_failed") as caught:
        project.agents.create_session("crash", {}, headers={"x-ms-client-request-id": "1"}, retry_total=0)
    response: Any = caught.value.response
    session_id = response.headers["x-agent-session-id"]
    assert project.agents.get_session("crash", session_id).status == "failed"
    stream: Any = project.agents.get_session_log_stream("crash", "1", session_id)
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in b"".join(stream).decode()


def test_a_version_that_cannot_be_built_says_why(project: AIProjectClient) -> None:
    definition = HostedAgentDefinition({"kind": "hosted", "cpu": "1", "memory": "2Gi", "image": "registry/app:1"})
    version = settled(project, project.agents.create_version("image", definition=definition))
    assert version.status == "failed"
    assert version["error"]["code"] == "ImageError"


def test_no_token_is_the_sdks_authentication_error(base_url: str) -> None:
    client = AIProjectClient(
        f"{base_url}/api/projects/x", FixedCredential(), authentication_policy=SansIOHTTPPolicy[Any, Any]()
    )
    with client, pytest.raises(ClientAuthenticationError):
        client.agents.get("x")


def test_the_deployment_of_a_folder_is_gone_when_its_emulator_is(tmp_path: Path) -> None:
    config = EmulatorConfig(port=0, scratch=tmp_path / "scratch")
    with running(config) as url:
        assert httpx.get(f"{url}/_emulator/health").status_code == 200
        assert config.scratch.exists()
    assert not config.scratch.exists()
