"""The control API: faults, pace, planned failures, and its own strictness."""

from collections.abc import Iterator

import httpx
import pytest

from emulated import ECHO, ask, make, name_of, open_session, refusal, settled
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig
from foundry_emulator.errors import EmulatorError


@pytest.fixture
def control(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{base_url}/_emulator") as client:
        yield client
        client.delete("/faults")
        client.put("/lifecycle", json={"kind": "immediate"})


def test_a_fault_hits_its_operation_as_often_as_it_was_told(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud)
    name = str(cloud.base_url).rstrip("/").rsplit("/", 1)[-1]
    cloud.post(f"/agents/{name}/versions", json={"definition": ECHO})
    fault = {
        "operation": "agents.get",
        "agent": name,
        "status": 429,
        "code": "rate_limit_exceeded",
        "retry_after": 2,
        "times": 2,
    }
    assert control.post("/faults", json=fault).status_code == 201
    answers = [cloud.get(f"/agents/{name}") for _ in range(3)]
    assert [each.status_code for each in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "2"
    assert cloud.get("/agents/a").status_code == 200


def test_a_dropped_answer_may_have_been_applied(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud, "dropped")
    control.post("/faults", json={"operation": "agents.disable", "agent": "dropped", "drop": True, "applied": True})
    with pytest.raises(httpx.RemoteProtocolError):
        cloud.post("/agents/dropped:disable")
    assert cloud.get("/agents/dropped").json()["state"] == "disabled"


def test_a_late_change_arrives_after_its_error(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud, "late")
    control.post("/faults", json={"operation": "agents.disable", "agent": "late", "status": 504, "apply_after": 0.1})
    assert cloud.post("/agents/late:disable").status_code == 504
    assert cloud.get("/agents/late").json()["state"] == "enabled"
    states = (cloud.get("/agents/late").json()["state"] for _ in range(1000))
    assert "disabled" in states


def test_the_control_api_is_strict(control: httpx.Client) -> None:
    assert refusal(control.post("/faults", json={"operation": "agents.fly", "status": 500}))[0] == 400
    assert refusal(control.post("/faults", json={"operation": "*", "status": 500, "colour": 1}))[0] == 400
    assert refusal(control.put("/clock", json={"speed": 0}))[0] == 400
    assert refusal(control.get("/nothing"))[0] == 404


def test_the_next_version_fails_as_planned(cloud: httpx.Client, control: httpx.Client) -> None:
    project = str(cloud.base_url).rstrip("/").rsplit("/", 1)[-1]
    plan = {"code": "ProvisioningError", "message": "NoClustersAvailable"}
    assert control.post(f"/projects/{project}/agents/a/fail-next-version", json=plan).status_code == 204
    version = make(cloud)
    assert (version["status"], version["error"]) == ("failed", {**plan, "details": None})
    assert make(cloud, latency_ms=1)["status"] == "active"


def test_a_version_may_become_active_after_some_looks(cloud: httpx.Client, control: httpx.Client) -> None:
    control.put("/lifecycle", json={"kind": "looks", "value": 3})
    make(cloud)
    looks = [cloud.get("/agents/a/versions/1").json()["status"] for _ in range(5)]
    assert looks.index("active") >= 2
    assert looks[-1] == "active"


def test_a_port_in_use_is_one_clear_sentence(base_url: str) -> None:
    port = int(base_url.rsplit(":", 1)[-1])
    with pytest.raises(EmulatorError, match=f"cannot listen on 127.0.0.1:{port}"), running(EmulatorConfig(port=port)):
        pass


@pytest.mark.parametrize(
    ("status", "code", "details"),
    [
        (403, "preview_feature_required", None),
        (404, "not_found", "SandboxNotFound"),
        (424, "session_not_ready", None),
        (429, "QuotaExceeded", "QuotaExceeded"),
        (429, "RegionalQuotaExceeded", "RegionalQuotaExceeded"),
        (500, "session_creation_failed", None),
        (502, "server_error", "ReadinessTimeout"),
        (502, "server_error", "SandboxIdle"),
        (503, "service_unavailable", None),
        (504, "server_error", "ProxyTimeout"),
        (400, "bad_request", "AgentVersionNotReady"),
    ],
)
def test_every_failure_of_the_catalogue_can_be_had(
    cloud: httpx.Client, control: httpx.Client, status: int, code: str, details: str | None
) -> None:
    make(cloud, name := name_of(cloud))
    fault = {"operation": "responses.*", "agent": name, "status": status, "code": code, "details": details, "times": 1}
    assert control.post("/faults", json=fault).status_code == 201
    failed = ask(cloud, agent=name)
    assert refusal(failed)[:2] == (status, code)
    assert failed.headers.get("x-adc-response-details") == details
    assert "Retry-After" not in failed.headers
    assert ask(cloud, agent=name).status_code == 200


def test_a_fault_may_strike_a_share_of_the_calls_until_it_is_lifted(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud, name := name_of(cloud))
    fault = {"operation": "agents.get", "agent": name, "status": 503, "rate": 0.5}
    planted = control.post("/faults", json=fault).json()
    statuses = [cloud.get(f"/agents/{name}").status_code for _ in range(40)]
    assert 5 < statuses.count(503) < 35
    assert control.delete(f"/faults/{planted['id']}").status_code == 204
    assert control.delete(f"/faults/{planted['id']}").status_code == 404
    assert cloud.get(f"/agents/{name}").status_code == 200


def test_versions_wait_for_the_emulated_clock(cloud: httpx.Client, control: httpx.Client) -> None:
    control.put("/lifecycle", json={"kind": "seconds", "value": 3600})
    version = make(cloud)
    assert version["status"] == "creating"
    used = cloud.post("/agents/a/endpoint/sessions", json={})
    assert refusal(used)[:2] == (400, "bad_request")
    assert used.json()["error"]["message"] == "Agent version is still being provisioned"
    control.put("/clock", json={"speed": 100_000})
    assert settled(cloud, version)["status"] == "active"
    control.put("/clock", json={"speed": 1})


def test_processes_lists_every_sandbox(cloud: httpx.Client, control: httpx.Client) -> None:
    make(cloud)
    session = open_session(cloud)
    mine = [each for each in control.get("/processes").json() if each["project"] == name_of(cloud)]
    assert mine == [{"project": name_of(cloud), "agent": "a", "session": session, "pid": None, "in_flight": 0}]
