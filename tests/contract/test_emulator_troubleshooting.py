"""Each row of the troubleshooting table in the document on source code can be had from the local Foundry."""

import time
from collections.abc import Iterator

import httpx
import jwt
import pytest

from emulated import AGENT, ECHO, ask, code_definition, deploy, invoke, make, name_of, open_session, refusal, settled
from foundry_emulator.clock import EmulatedClock
from patience import PATIENCE


@pytest.fixture
def cloud(cloud: httpx.Client) -> Iterator[httpx.Client]:
    """Give the client of a project whose processes end with the test."""
    yield cloud
    cloud.delete("/agents/a", params={"force": "true"})


@pytest.fixture
def control(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{base_url}/_emulator") as client:
        switches = client.get("/switches").json()
        yield client
        client.delete("/faults")
        client.put("/lifecycle", json={"kind": "immediate"})
        client.put("/patience", json={"readiness_seconds": 25, "call_seconds": 120})
        client.patch("/switches", json=switches)


def a_token(audience: object, lasts: float = 3600, **claims: object) -> dict[str, str]:
    token = jwt.encode({"aud": audience, "exp": int(EmulatedClock().now() + lasts), **claims}, "k" * 32)
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Authorization": ""}, "a bearer token is required"),
        ({"Authorization": "Basic bWU6bWU="}, "a bearer token is required"),
        (a_token("https://cognitiveservices.azure.com"), "another audience than https://ai.azure.com"),
        (a_token("https://management.azure.com/"), "another audience than https://ai.azure.com"),
        (a_token(None), """missing the "aud" claim"""),
        (a_token("https://ai.azure.com", lasts=-3600), "has expired"),
        (a_token("https://ai.azure.com", nbf=4_000_000_000), "not yet valid"),
        (a_token("https://ai.azure.com", exp="soon"), "exp"),
    ],
)
def test_401_for_a_missing_or_wrong_token(cloud: httpx.Client, headers: dict[str, str], says: str) -> None:
    response = cloud.get("/agents", headers=headers)
    assert refusal(response)[:2] == (401, "unauthorized")
    assert says in response.json()["error"]["message"]
    assert "authorization_uri" in response.headers["www-authenticate"]


@pytest.mark.parametrize(
    "audience", ["https://ai.azure.com", "https://ai.azure.com/", ["other", "https://ai.azure.com"]]
)
def test_a_token_for_this_audience_is_let_in(cloud: httpx.Client, audience: object) -> None:
    assert cloud.get("/agents", headers=a_token(audience)).status_code == 200


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "eyJhbGciOiJub25lIn0.bm90IGpzb24.", "é"])
def test_what_is_no_jwt_is_any_token(base_url: str, token: str) -> None:
    headers = {b"Authorization": f"Bearer {token}".encode()}
    assert httpx.get(f"{base_url}/api/projects/p/agents?api-version=v1", headers=headers).status_code == 200


def test_the_resource_manager_wants_its_own_audience(base_url: str) -> None:
    where = f"{base_url}/_arm/subscriptions/s/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01"
    refused = httpx.get(where, headers=a_token("https://ai.azure.com"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    for audience in ("https://management.azure.com/", "https://management.core.windows.net"):
        assert httpx.get(where, headers=a_token(audience)).status_code == 200


def test_403_for_a_caller_without_the_role(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud, name := name_of(cloud))
    fault = {"operation": "*", "agent": name, "status": 403, "code": "Forbidden", "message": "Foundry User is needed"}
    control.post("/faults", json=fault)
    assert refusal(cloud.get(f"/agents/{name}"))[:2] == (403, "Forbidden")


def test_409_for_an_agent_that_exists(cloud: httpx.Client) -> None:
    make(cloud)
    refused = cloud.post("/agents", json={"name": "a", "definition": ECHO})
    assert refusal(refused)[:2] == (409, "conflict")
    assert refused.json()["error"]["message"] == "Agent 'a' already exists"


def test_400_while_a_new_version_is_swapped_in(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud)
    running = open_session(cloud)
    control.put("/lifecycle", json={"kind": "looks", "value": 2})
    make(cloud, latency_ms=1)
    assert ask(cloud).status_code == 200
    control.patch("/switches", json={"swap_interrupts": True})
    refused = ask(cloud)
    assert refusal(refused)[:2] == (400, "bad_request")
    assert refused.json()["error"]["message"] == "Agent version is still being provisioned"
    assert refused.headers["x-adc-response-details"] == "AgentVersionNotReady"
    assert ask(cloud, agent_session_id=running).status_code == 200
    settled(cloud, cloud.get("/agents/a/versions/2").json())
    assert ask(cloud).json()["agent_reference"]["version"] == "2"


def test_424_for_an_agent_that_does_not_become_ready(cloud: httpx.Client, control: httpx.Client) -> None:
    control.put("/patience", json={"readiness_seconds": 0.05, "call_seconds": 10})
    make(cloud, ready_after=1000)
    refused = ask(cloud)
    assert refusal(refused)[:2] == (424, "session_not_ready")
    session = refused.headers["x-agent-session-id"]
    with cloud.stream("GET", f"/agents/a/sessions/{session}:logstream") as log:
        assert "AgentServerHost starting" in next(line for line in log.iter_lines() if "stderr" in line)


def test_409_for_an_agent_with_active_sessions_unless_it_is_forced(cloud: httpx.Client) -> None:
    make(cloud)
    open_session(cloud)
    refused = cloud.delete("/agents/a")
    assert refusal(refused)[:2] == (409, "conflict")
    assert refused.json()["error"]["message"] == "Agent has active sessions"
    assert cloud.delete("/agents/a", params={"force": "true"}).json()["deleted"] is True


def test_a_version_may_be_stuck_in_creating(cloud: httpx.Client, control: httpx.Client) -> None:
    control.put("/lifecycle", json={"kind": "seconds", "value": 1e9})
    make(cloud)
    assert {cloud.get("/agents/a/versions/1").json()["status"] for _ in range(5)} == {"creating"}


def test_a_build_that_fails_is_read_from_the_version(cloud: httpx.Client) -> None:
    version = deploy(cloud, {"main.py": AGENT, "requirements.txt": "./missing-1.0-py3-none-any.whl"})
    assert (version["status"], version["error"]["code"]) == ("failed", "CodeError")
    assert "missing-1.0-py3-none-any.whl" in version["error"]["message"]
    assert "aka.ms" in version["error"]["message"]


def test_a_module_that_is_missing_at_run_time_is_in_the_log(cloud: httpx.Client) -> None:
    deploy(cloud, {"main.py": "import forgotten"}, code_definition("bundled"))
    failed = ask(cloud)
    assert refusal(failed)[:2] == (500, "session_creation_failed")
    log = cloud.get(f"/agents/a/sessions/{failed.headers['x-agent-session-id']}:logstream").text
    assert "ModuleNotFoundError: No module named 'forgotten'" in log


def test_409_for_the_code_of_an_image(cloud: httpx.Client) -> None:
    make(cloud)
    assert refusal(cloud.get("/agents/a/code:download"))[:2] == (409, "AgentNotCodeBased")


def test_404_for_calls_with_the_preview_s_api_version(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud)
    preview = {"api-version": "2025-11-15-preview"}
    path = "/agents/a/endpoint/protocols/openai/responses"
    assert cloud.post(path, params=preview, json={"input": "x"}).status_code == 200
    control.patch("/switches", json={"preview_invoke": False})
    assert refusal(cloud.post(path, params=preview, json={"input": "x"}))[0] == 404
    assert refusal(cloud.post("/agents/a/endpoint/protocols/invocations", params=preview, json={}))[0] == 404
    assert cloud.get("/agents/a", params=preview).status_code == 200
    assert invoke(cloud, {}).status_code == 200


@pytest.mark.parametrize("identity", ["agent_instance_identity", "agent_blueprint"])
def test_an_agent_may_be_disabled_by_its_identity(cloud: httpx.Client, control: httpx.Client, identity: str) -> None:
    make(cloud)
    where = f"/projects/{name_of(cloud)}/agents/a"
    assert control.patch(where, json={"disabled_by": identity}).status_code == 200
    assert cloud.post("/agents/a:enable").status_code == 204
    agent = cloud.get("/agents/a").json()
    assert (agent["state"], agent["configuration_state"], agent["state_source"]) == ("disabled", "enabled", identity)
    part = "instance_identity" if identity == "agent_instance_identity" else "blueprint"
    assert agent[part]["status"] == "disabled"
    assert refusal(ask(cloud))[:2] == (403, "agent_disabled")
    control.patch(where, json={"disabled_by": None})
    agent = cloud.get("/agents/a").json()
    assert (agent["state"], agent.get("state_source"), agent[part]["status"]) == ("enabled", None, "active")
    assert ask(cloud).status_code == 200


def test_a_disabled_identity_ends_running_sessions(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud)
    session = open_session(cloud)
    control.patch(f"/projects/{name_of(cloud)}/agents/a", json={"disabled_by": "agent_blueprint"})
    deadline = time.monotonic() + PATIENCE
    while cloud.get(f"/agents/a/endpoint/sessions/{session}").json()["status"] != "idle":
        assert time.monotonic() < deadline


def test_digital_workers_and_publishing_show_in_the_agent(cloud: httpx.Client, control: httpx.Client) -> None:
    body = {"definition": ECHO, "digital_worker_type": "m365"}
    assert cloud.post("/agents/a/versions", json=body).status_code == 200
    assert cloud.get("/agents/a").json()["digital_worker_type"] == "m365"
    assert "publish_approval_status" not in cloud.get("/agents/a").json()["agent_endpoint"]
    control.patch(f"/projects/{name_of(cloud)}/agents/a", json={"publish_approval_status": "pending"})
    assert cloud.get("/agents/a").json()["agent_endpoint"]["publish_approval_status"] == "pending"
    other = cloud.post("/agents/b/versions", json={"definition": ECHO, "digital_worker_type": "m400"})
    assert refusal(other) == (400, "invalid_request_error", "digital_worker_type")


def test_the_exporter_s_address_may_be_set_and_reaches_the_agent(cloud: httpx.Client) -> None:
    definition = code_definition(environment_variables={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    deploy(cloud, definition=definition)
    assert invoke(cloud, {"environment": True}).json()["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
