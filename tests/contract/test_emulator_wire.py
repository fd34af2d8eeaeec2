"""The emulator on the wire: what it refuses, what it echoes, and what it passes through."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from emulated import ECHO, a_zip, make, refusal, upload
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/agents?api-version=v1&color=red", (400, "invalid_request_error", "color")),
        ("GET", "/agents?api-version=v1&limit=0", (400, "invalid_request_error", "limit")),
        ("GET", "/agents?api-version=2020-01-01", (400, "UnsupportedApiVersion", "api-version")),
        ("GET", "/nothing?api-version=v1", (404, "not_found", None)),
        ("PUT", "/agents?api-version=v1", (405, "method_not_allowed", None)),
        ("POST", "/agents/a:explode?api-version=v1", (404, "not_found", None)),
    ],
)
def test_what_is_unknown_is_refused_in_the_clouds_envelope(
    base_url: str, method: str, path: str, expected: tuple[int, str, str | None]
) -> None:
    response = httpx.request(method, f"{base_url}/api/projects/p{path}", headers={"Authorization": "Bearer x"})
    assert refusal(response) == expected


def test_a_missing_api_version_is_named_in_the_message(base_url: str) -> None:
    response = httpx.get(f"{base_url}/api/projects/p/agents", headers={"Authorization": "Bearer x"})
    assert response.status_code == 400
    assert "Missing required query parameter: api-version" in response.json()["error"]["message"]


def test_no_bearer_is_401_even_where_all_else_is_wrong(base_url: str) -> None:
    assert httpx.get(f"{base_url}/api/projects/p/agents").status_code == 401


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"colour": 1}, "definition.colour"),
        ({"cpu": "64"}, "definition.cpu"),
        ({"kind": "workflow"}, "definition.kind"),
        ({"container_configuration": None}, "definition"),
        ({"environment_variables": {"1A": "x"}}, "definition.environment_variables.1A"),
        (
            {"session_configuration": {"idle_timeout_seconds": 5}},
            "definition.session_configuration.idle_timeout_seconds",
        ),
        ({"protocol_versions": [{"protocol": "smoke", "version": "1"}]}, "definition.protocol_versions.0.protocol"),
    ],
)
def test_a_wrong_definition_is_refused_by_field(cloud: httpx.Client, change: dict[str, Any], param: str) -> None:
    response = cloud.post("/agents/a/versions", json={"definition": {**ECHO, **change}})
    assert refusal(response) == (400, "invalid_request_error", param)


def test_a_reserved_variable_has_a_code_of_its_own(cloud: httpx.Client) -> None:
    definition = {**ECHO, "environment_variables": {"FOUNDRY_X": "1"}}
    assert refusal(cloud.post("/agents/a/versions", json={"definition": definition}))[1] == "EnvVarReserved"


def test_both_dialects_of_a_definition_are_one_version_and_both_are_echoed(cloud: httpx.Client) -> None:
    protocols = [{"protocol": "responses", "version": "1.0.0"}]
    shared = {"kind": "hosted", "cpu": "1", "memory": "2Gi"}
    old = {**shared, "image": "emulator://echo", "container_protocol_versions": protocols}
    new = {**shared, "container_configuration": {"image": "emulator://echo"}, "protocol_versions": protocols}
    first = cloud.post("/agents/a/versions", json={"definition": old}).json()
    assert cloud.post("/agents/a/versions", json={"definition": new}).json()["version"] == first["version"]
    assert first["definition"] == {**old, **new}


def test_an_unknown_parameter_of_a_behaviour_fails_the_version(cloud: httpx.Client) -> None:
    version = make(cloud, eror_rate=1)
    assert (version["status"], version["error"]["code"]) == ("failed", "ImageError")


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 90}],
        [{"type": "Magic", "agent_version": "1", "traffic_percentage": 100}],
        [{"type": "FixedRatio", "agent_version": "9", "traffic_percentage": 100}],
        [{"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100.0}],
        [{"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 50}] * 2,
    ],
)
def test_a_routing_that_makes_no_sense_is_refused_and_changes_nothing(
    cloud: httpx.Client, rules: list[dict[str, Any]]
) -> None:
    make(cloud)
    patch = {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}
    response = cloud.patch("/agents/a", json=patch)
    assert refusal(response) == (400, "invalid_request_error", "agent_endpoint.version_selector")
    selector = cloud.get("/agents/a").json()["agent_endpoint"]["version_selector"]
    assert selector["version_selection_rules"][0]["agent_version"] == "@latest"


def test_an_agent_with_a_wrong_endpoint_is_not_created(cloud: httpx.Client) -> None:
    body = {"name": "a", "definition": ECHO, "agent_endpoint": {"protocols": "responses"}}
    assert cloud.post("/agents", json=body).status_code == 400
    assert cloud.get("/agents/a").status_code == 404


def test_a_patch_merges_protocols_in_either_dialect_and_ignores_strangers(cloud: httpx.Client) -> None:
    make(cloud)
    patched = cloud.patch("/agents/a", json={"agent_endpoint": {"protocol_configuration": {"invocations": {}}}}).json()
    assert patched["agent_endpoint"]["protocols"] == ["responses", "invocations"]
    patch = {"agent_endpoint": {"protocols": ["responses"], "default_version": "7"}, "weather": "fine"}
    patched = cloud.patch("/agents/a", json=patch).json()
    assert patched["agent_endpoint"]["protocol_configuration"] == {"responses": {}}
    assert "default_version" not in patched["agent_endpoint"]


def test_a_draft_is_hidden_never_latest_and_no_routing_target(cloud: httpx.Client) -> None:
    make(cloud)
    draft = cloud.post("/agents/a/versions", json={"definition": {**ECHO, "cpu": "2", "memory": "4Gi"}, "draft": True})
    name = draft.json()["version"]
    assert name.startswith("draft-")
    assert [each["version"] for each in cloud.get("/agents/a/versions").json()["data"]] == ["1"]
    listed = cloud.get("/agents/a/versions", params={"include_drafts": "true"}).json()["data"]
    assert {each["version"] for each in listed} == {"1", name}
    assert cloud.get("/agents/a").json()["versions"]["latest"]["version"] == "1"
    rules = [{"type": "FixedRatio", "agent_version": name, "traffic_percentage": 100}]
    patch = {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}
    assert cloud.patch("/agents/a", json=patch).status_code == 400
    session = {"version_indicator": {"type": "version_ref", "agent_version": name}}
    assert cloud.post("/agents/a/endpoint/sessions", json=session).status_code == 201


def test_code_arrives_by_all_three_routes_and_comes_back_as_it_was(cloud: httpx.Client) -> None:
    one, two, three = a_zip({"main.py": "1"}), a_zip({"main.py": "2"}), a_zip({"main.py": "3"})
    assert (
        upload(cloud, "/agents", one, headers={"x-ms-agent-name": "c"}).json()["versions"]["latest"]["version"] == "1"
    )
    assert upload(cloud, "/agents/c", two).json()["versions"]["latest"]["version"] == "2"
    assert upload(cloud, "/agents/c/versions", three).json()["version"] == "3"
    assert upload(cloud, "/agents/c/versions", three).json()["version"] == "3"
    assert refusal(upload(cloud, "/agents", one, headers={"x-ms-agent-name": "c"}))[:2] == (409, "conflict")
    code = cloud.get("/agents/c/code:download", params={"agent_version": "2"})
    assert code.content == two
    assert code.headers["x-ms-code-zip-sha256"] == hashlib.sha256(two).hexdigest()
    assert code.headers["x-ms-agent-version"] == "2"


def test_a_wrong_hash_is_refused(cloud: httpx.Client) -> None:
    response = upload(cloud, "/agents/c/versions", a_zip({"main.py": "x"}), headers={"x-ms-code-zip-sha256": "00"})
    assert refusal(response) == (400, "invalid_request_error", "x-ms-code-zip-sha256")


def test_image_agents_have_no_code_to_download(cloud: httpx.Client) -> None:
    make(cloud)
    assert refusal(cloud.get("/agents/a/code:download"))[:2] == (409, "AgentNotCodeBased")


def test_the_only_version_is_deleted_as_printed_and_the_next_one_has_the_next_number(cloud: httpx.Client) -> None:
    make(cloud)
    gone = cloud.delete("/agents/a/versions/1")
    assert (gone.status_code, gone.json()["deleted"]) == (200, True)
    assert cloud.get("/agents/a").json()["versions"] == {"latest": None}
    listed = cloud.get("/agents/a/versions")
    assert (listed.status_code, listed.json().get("data")) == (200, []), listed.text
    agents = cloud.get("/agents")
    assert agents.status_code == 200, agents.text
    call = cloud.post("/agents/a/endpoint/protocols/openai/responses", json={"input": "hi"})
    assert 400 <= call.status_code < 500
    assert cloud.post("/agents/a/versions", json={"definition": ECHO}).json()["version"] == "2"


def test_an_invocation_passes_through_and_says_who_answered(cloud: httpx.Client) -> None:
    definition = {**ECHO, "protocol_versions": [{"protocol": "invocations", "version": "2.0.0"}]}
    cloud.post("/agents/a/versions", json={"definition": definition})
    response = cloud.post("/agents/a/endpoint/protocols/invocations", content=b"any bytes")
    assert response.content == b"any bytes"
    assert response.headers["x-agent-invocation-id"]
    session = cloud.get(f"/agents/a/endpoint/sessions/{response.headers['x-agent-session-id']}").json()
    assert session["version_indicator"] == {"type": "version_ref", "agent_version": "1"}


def test_errors_of_the_agent_and_its_log_lines_come_at_the_named_rates(cloud: httpx.Client) -> None:
    make(cloud, error_rate=1, log_error_rate=1)
    response = cloud.post("/agents/a/endpoint/protocols/openai/responses", json={"input": "x"})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "server_error")
    session = response.headers["x-agent-session-id"]
    with cloud.stream("GET", f"/agents/a/sessions/{session}:logstream") as stream:
        lines = []
        for line in stream.iter_lines():
            lines.append(line)
            if "Inbound POST /responses completed with status 500 in " in line:
                break
    frames = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert frames[0]["session_state"] == "Running"
    assert any("Traceback" in frame["message"] for frame in frames[1:])


def test_an_agent_that_is_not_ready_in_time_is_424_and_ready_later(base_url: str) -> None:
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), readiness_seconds=0.05)
    with (
        running(config) as url,
        httpx.Client(
            base_url=f"{url}/api/projects/p", params={"api-version": "v1"}, headers={"Authorization": "Bearer x"}
        ) as cloud,
    ):
        make(cloud, ready_after=0.15)
        slow = cloud.post("/agents/a/endpoint/sessions", json={"agent_session_id": "slow-session"})
        assert refusal(slow)[:2] == (424, "session_not_ready")
        assert slow.headers["x-agent-session-id"] == "slow-session"
        call = {"input": "x", "agent_session_id": "slow-session"}
        answers = [cloud.post("/agents/a/endpoint/protocols/openai/responses", json=call) for _ in range(5)]
        assert answers[-1].status_code == 200
