"""The official SDK, unmodified, drives the emulator over plain HTTP."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from azure.ai.projects import AIProjectClient
from azure.ai.projects.models import HostedAgentDefinition, VersionRefIndicator
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.core.pipeline.policies import SansIOHTTPPolicy

from emulated import AGENT, a_zip
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from official_sdk import FixedCredential, active, an_sdk_project, code_version, echo, route, settled


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("seconds", 0.05), seed=7)) as url:
        yield url


@pytest.fixture
def project(base_url: str) -> Iterator[AIProjectClient]:
    with an_sdk_project(base_url) as client:
        yield client


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
    assert code_version(project, "dedup", AGENT + "# changed").version == "2"


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


def test_conversations_and_stored_responses_work_through_the_openai_client(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("talk", definition=echo()))
    with project.get_openai_client(agent_name="talk") as client:
        conversation = client.conversations.create()
        answers = [client.responses.create(input=text, conversation=conversation.id) for text in ("one", "two")]
        assert len({answer.model_extra["agent_session_id"] for answer in answers if answer.model_extra}) == 1
        assert client.responses.retrieve(answers[0].id).output_text == "one"
        items: Any = client.responses.input_items.list(answers[1].id).data
        assert items[0].content[0].text == "two"
        client.responses.delete(answers[0].id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(answers[0].id)


def test_the_project_s_openai_client_reaches_agents_by_reference(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("referred", definition=echo()))
    body = {"agent_reference": {"type": "agent_reference", "name": "referred"}}
    with project.get_openai_client() as client:
        assert client.responses.create(input="hi", extra_body=body).output_text == "hi"
        assert client.conversations.create().object == "conversation"


def test_session_files_go_both_ways(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("filed", definition=echo()))
    session = project.agents.create_session("filed", {}).agent_session_id
    for name in ("a.txt", "b.txt", "c.txt"):
        written = project.agents.upload_session_file("filed", session, b"hello", path=f"/files/{name}")
        assert (written.path, written.bytes_written) == (f"files/{name}", 5)
    listed = [each.name for each in project.agents.list_session_files("filed", session, path="/files", limit=2)]
    assert listed == ["a.txt", "b.txt", "c.txt"]
    stream: Any = project.agents.download_session_file("filed", session, path="/files/a.txt")
    assert b"".join(stream) == b"hello"
    project.agents.delete_session_file("filed", session, path="/files", recursive=True)
    with pytest.raises(ResourceNotFoundError):
        project.agents.download_session_file("filed", session, path="/files/a.txt")


def test_code_comes_back_as_it_was_sent(project: AIProjectClient) -> None:
    active(project, code_version(project, "returned"))
    stream: Any = project.agents.download_code("returned", agent_version="1")
    assert b"".join(stream) == a_zip({"main.py": AGENT, "requirements.txt": ""})


def test_sessions_are_listed_stopped_and_deleted(project: AIProjectClient) -> None:
    active(project, project.agents.create_version("sessions", definition=echo()))
    made = [project.agents.create_session("sessions", {}).agent_session_id for _ in range(3)]
    assert [each.agent_session_id for each in project.agents.list_sessions("sessions", limit=2)] == made[::-1]
    project.agents.stop_session("sessions", made[0])
    assert project.agents.get_session("sessions", made[0]).status == "idle"
    project.agents.delete_session("sessions", made[0])
    assert len(list(project.agents.list_sessions("sessions"))) == 2
