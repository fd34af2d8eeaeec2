"""Prompt agents of the emulator: a model and instructions, by the Responses protocol, and nothing of a container."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulated import ECHO, ask, invoke, make, refusal, route, text_of, upload

EVERY_FIELD = {
    "kind": "prompt",
    "model": "gpt-4.1-mini",
    "instructions": "Be brief.",
    "temperature": 1,
    "top_p": 0.5,
    "reasoning": {"effort": "low"},
    "tools": [{"type": "web_search"}],
    "tool_choice": "auto",
    "text": {"format": {"type": "text"}},
    "structured_inputs": {"city": {"description": "Where", "required": True}},
    "rai_config": {"rai_policy_name": "p"},
    "harness": {"type": "github_copilot"},
    "skills": [{"name": "s", "version": "1"}],
}


def prompt(cloud: httpx.Client, agent: str = "p", **fields: object) -> dict[str, Any]:
    definition = {"kind": "prompt", "model": "gpt-4.1-mini", **fields}
    response = cloud.post(f"/agents/{agent}/versions", json={"definition": definition})
    assert response.status_code == 200, response.text
    return dict(response.json())


def by_reference(project: httpx.Client, **more: str) -> httpx.Response:
    reference = {"type": "agent_reference", "name": "p", **more}
    return project.post("/openai/v1/responses", json={"input": "hi", "agent_reference": reference})


@pytest.fixture
def project(cloud: httpx.Client) -> Iterator[httpx.Client]:
    """Give a client that sends no api-version, as that of the project's OpenAI surface."""
    with httpx.Client(base_url=cloud.base_url, headers=cloud.headers) as client:
        yield client


def test_a_version_is_active_at_once_and_echoes_every_field(cloud: httpx.Client) -> None:
    made = cloud.post("/agents/p/versions", json={"definition": EVERY_FIELD}).json()
    assert (made["version"], made["status"], made["definition"]) == ("1", "active", EVERY_FIELD)
    agent = cloud.get("/agents/p").json()
    assert list(agent["agent_endpoint"]["protocol_configuration"]) == ["responses"]
    assert agent["versions"]["latest"]["definition"]["kind"] == "prompt"


def test_the_same_definition_is_the_same_version(cloud: httpx.Client) -> None:
    assert [prompt(cloud, instructions=text)["version"] for text in ("a", "a", "b", "a")] == ["1", "1", "2", "3"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": ""}, "definition.model"),
        ({"model": None}, "definition.model"),
        ({"model": "emulator://echo?colour=red"}, "definition.model"),
        ({"model": "emulator://echo?crash=true"}, "definition.model"),
        ({"temperature": 3}, "definition.temperature"),
        ({"cpu": "1"}, "definition.cpu"),
        ({"tools": "web_search"}, "definition.tools"),
    ],
)
def test_a_wrong_definition_is_refused_by_field(cloud: httpx.Client, change: dict[str, Any], param: str) -> None:
    response = cloud.post("/agents/p/versions", json={"definition": {**EVERY_FIELD, **change}})
    assert refusal(response) == (400, "invalid_request_error", param)


def test_the_other_routes_make_prompt_versions_too(cloud: httpx.Client) -> None:
    made = cloud.post("/agents", json={"name": "p", "definition": EVERY_FIELD})
    assert made.json()["versions"]["latest"]["status"] == "active"
    changed = cloud.post("/agents/p", json={"definition": {**EVERY_FIELD, "top_p": 1}})
    assert changed.json()["versions"]["latest"]["version"] == "2"


def test_an_agent_is_of_one_kind_and_lists_can_be_of_one(cloud: httpx.Client) -> None:
    prompt(cloud)
    make(cloud, "h")
    wrong = cloud.post("/agents/p/versions", json={"definition": ECHO})
    assert refusal(wrong) == (400, "invalid_request_error", "definition.kind")
    assert refusal(upload(cloud, "/agents/p/versions", b"x", EVERY_FIELD))[0] == 400
    listed = {kind: cloud.get("/agents", params=kind and {"kind": kind}).json()["data"] for kind in ("", "prompt")}
    assert {kind: [each["name"] for each in found] for kind, found in listed.items()} == {
        "": ["h", "p"],
        "prompt": ["p"],
    }


def test_each_call_draws_its_version_and_says_which(cloud: httpx.Client) -> None:
    prompt(cloud, model="emulator://echo?reply=one")
    prompt(cloud, model="emulator://echo?reply=two")
    assert route(cloud, {"1": 50, "2": 50}, "p").status_code == 200
    answers = [ask(cloud, agent="p") for _ in range(40)]
    said = Counter((text_of(each), each.json()["agent_reference"]["version"]) for each in answers)
    assert set(said) == {("one", "1"), ("two", "2")}
    assert not any("agent_session_id" in each.json() or "x-agent-session-id" in each.headers for each in answers)


def test_a_reference_names_the_version_whatever_the_weights_say(cloud: httpx.Client, project: httpx.Client) -> None:
    prompt(cloud, model="emulator://echo?reply=one")
    prompt(cloud, model="emulator://echo?reply=two")
    route(cloud, {"1": 100}, "p")
    answer = by_reference(project, version="2")
    assert (text_of(answer), answer.json()["agent_reference"]["version"]) == ("two", "2")
    assert text_of(by_reference(project)) == "one"
    assert refusal(by_reference(project, version="9"))[0] == 404


def test_the_override_header_is_not_for_prompt_agents(cloud: httpx.Client) -> None:
    prompt(cloud, instructions="one")
    prompt(cloud, instructions="two")
    route(cloud, {"1": 100}, "p")
    path, headers = "/agents/p/endpoint/protocols/openai/responses", {"x-agent-version-override": "2"}
    answer = cloud.post(path, json={"input": "x"}, headers=headers)
    assert answer.json()["agent_reference"]["version"] == "1"
    assert "x-agent-version-resolved" not in answer.headers


@pytest.mark.parametrize("name", ["instructions", "tools", "text", "reasoning"])
def test_a_request_cannot_change_what_the_version_defines(cloud: httpx.Client, name: str) -> None:
    prompt(cloud)
    response = cloud.post("/agents/p/endpoint/protocols/openai/responses", json={"input": "x", name: "other"})
    assert refusal(response) == (400, "invalid_payload", name)


def test_the_model_s_name_says_how_it_behaves(cloud: httpx.Client) -> None:
    prompt(cloud, model="emulator://echo?error_rate=1")
    assert refusal_of(ask(cloud, agent="p")) == (500, "server_error")
    prompt(cloud, model="gpt-4.1-mini")
    answer = ask(cloud, "hello", agent="p").json()
    assert (answer["model"], answer["output"][0]["content"][0]["text"]) == ("gpt-4.1-mini", "hello")


def test_responses_are_kept_read_and_deleted(cloud: httpx.Client) -> None:
    prompt(cloud)
    prompt(cloud, "other")
    made = ask(cloud, agent="p").json()["id"]
    path = f"/agents/p/endpoint/protocols/openai/responses/{made}"
    assert cloud.get(path).json()["agent_reference"]["version"] == "1"
    assert cloud.get(f"{path}/input_items").json()["data"][0]["content"][0]["text"] == "x"
    assert refusal(cloud.get(path.replace("/p/", "/other/")))[0] == 404
    assert cloud.delete(path).json()["deleted"]
    assert cloud.get(path).status_code == 404


def test_a_conversation_must_be_known(cloud: httpx.Client) -> None:
    prompt(cloud)
    known = cloud.post("/agents/p/endpoint/protocols/openai/conversations", json={}).json()["id"]
    assert ask(cloud, agent="p", conversation=known).status_code == 200
    assert refusal(ask(cloud, agent="p", conversation="conv_unknown"))[0] == 404


def test_there_is_no_session_no_log_no_code_and_no_other_protocol(cloud: httpx.Client) -> None:
    prompt(cloud)
    assert refusal(cloud.post("/agents/p/endpoint/sessions", json={}))[0] == 400
    assert refusal(ask(cloud, agent="p", agent_session_id="session-one"))[0] == 400
    assert cloud.get("/agents/p/endpoint/sessions").json()["data"] == []
    assert refusal(cloud.get("/agents/p/versions/1/sessions/session-one:logstream"))[:2] == (404, "not_found")
    assert refusal(cloud.get("/agents/p/code:download"))[:2] == (409, "AgentNotCodeBased")
    cloud.patch("/agents/p", json={"agent_endpoint": {"protocol_configuration": {"invocations": {}}}})
    assert refusal(invoke(cloud, {}, "p"))[:2] == (400, "endpoint-protocol-not-enabled")


def test_a_disabled_prompt_agent_answers_nobody(cloud: httpx.Client) -> None:
    prompt(cloud)
    cloud.post("/agents/p:disable")
    assert refusal(ask(cloud, agent="p"))[:2] == (403, "agent_disabled")


def refusal_of(response: httpx.Response) -> tuple[int, str]:
    """Return status and code of a model's own error, which is no envelope of the cloud's."""
    return response.status_code, response.json()["error"]["code"]
