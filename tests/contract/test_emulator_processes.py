"""Source code runs as processes: build, start, calls, idle, crash, end."""

import io
import zipfile
from collections.abc import Iterator

import httpx
import pytest

from emulated import (
    AGENT,
    a_project,
    ask,
    code_definition,
    deploy,
    invoke,
    is_running,
    name_of,
    open_session,
    refusal,
    route,
    text_of,
    wait_until_gone,
)
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle


@pytest.fixture
def cloud(cloud: httpx.Client) -> Iterator[httpx.Client]:
    """Give the client of a project whose processes end with the test."""
    yield cloud
    cloud.delete("/agents/a", params={"force": "true"})


def process_of(base_url: str, session: str) -> int:
    for each in httpx.get(f"{base_url}/_emulator/processes").json():
        if each["session"] == session:
            return int(each["pid"])
    raise AssertionError(f"session {session} has no process")


def calls_in_flight(base_url: str, session: str) -> int:
    found = httpx.get(f"{base_url}/_emulator/processes").json()
    return {str(each["session"]): int(each["in_flight"]) for each in found}[session]


def log_of(cloud: httpx.Client, session: str) -> str:
    """Return the log of a session whose sandbox is gone, so that the stream ends."""
    return cloud.get(f"/agents/a/sessions/{session}:logstream").text


def test_a_session_is_a_process_and_ends_with_it(cloud: httpx.Client, base_url: str) -> None:
    deploy(cloud)
    session = open_session(cloud)
    process = process_of(base_url, session)
    assert is_running(process)
    assert cloud.delete(f"/agents/a/endpoint/sessions/{session}").status_code == 204
    assert not is_running(process)


def test_the_agent_finds_the_environment_of_the_container_contract(cloud: httpx.Client) -> None:
    deploy(cloud, definition=code_definition(environment_variables={"MODE": "test", "KEY": "${{connections.x.key}}"}))
    session = open_session(cloud)
    found = invoke(cloud, {"environment": True}, session=session).json()
    assert found["FOUNDRY_AGENT_NAME"] == "a"
    assert found["FOUNDRY_AGENT_VERSION"] == "1"
    assert found["FOUNDRY_AGENT_SESSION_ID"] == session
    assert found["FOUNDRY_HOSTING_ENVIRONMENT"] == ""
    assert found["FOUNDRY_PROJECT_ENDPOINT"].endswith(f"/api/projects/{name_of(cloud)}")
    assert (found["MODE"], found["KEY"]) == ("test", "")
    assert "PYTEST_CURRENT_TEST" not in found


def test_the_caller_s_token_never_reaches_the_agent(cloud: httpx.Client) -> None:
    deploy(cloud)
    found = {name.lower(): value for name, value in invoke(cloud, {"headers": True}).json().items()}
    assert "authorization" not in found
    assert "local" not in str(found.values())
    assert found["x-agent-foundry-call-id"]


def test_a_long_invocation_is_polled_and_cancelled_in_its_own_session(cloud: httpx.Client) -> None:
    deploy(cloud)
    started = invoke(cloud, {})
    assert started.status_code == 202
    where = f"/agents/a/endpoint/protocols/invocations/{started.headers['x-agent-invocation-id']}"
    assert cloud.get(where).json() == {"status": "running"}
    assert cloud.post(f"{where}/cancel").json() == {"status": "cancelled"}
    polled = cloud.get(where)
    assert polled.json() == {"status": "cancelled"}
    assert polled.headers["x-agent-session-id"] == started.headers["x-agent-session-id"]
    assert cloud.get("/agents/a/endpoint/protocols/invocations/unknown").status_code == 404


def test_the_agent_s_own_openapi_document_passes_through(cloud: httpx.Client) -> None:
    deploy(cloud)
    assert cloud.get("/agents/a/endpoint/protocols/invocations/docs/openapi.json").json() == {"openapi": "3.1.0"}


def test_a_stream_arrives_while_it_is_written(cloud: httpx.Client) -> None:
    deploy(cloud)
    where = "/agents/a/endpoint/protocols/invocations"
    with cloud.stream("POST", where, json={"stream": 5}) as response:
        chunks = list(response.iter_text())
    assert "".join(chunks) == "".join(f"data: {number}\n\n" for number in range(5))
    assert len(chunks) > 1


def test_a_caller_who_hangs_up_leaves_no_call_in_flight(cloud: httpx.Client, base_url: str) -> None:
    deploy(cloud)
    session = open_session(cloud)
    where, params = "/agents/a/endpoint/protocols/invocations", {"agent_session_id": session}
    with cloud.stream("POST", where, json={"stream": 1000}, params=params) as response:
        assert next(response.iter_text())
    while calls_in_flight(base_url, session):
        pass


def test_a_log_holds_no_complaint_about_the_readiness_probe(cloud: httpx.Client) -> None:
    deploy(cloud)
    session = open_session(cloud)
    cloud.post(f"/agents/a/endpoint/sessions/{session}:stop")
    log = log_of(cloud, session)
    assert "GET /readiness" in log
    assert "Traceback" not in log


def test_a_stored_response_is_read_and_deleted_in_the_session_that_made_it(cloud: httpx.Client) -> None:
    deploy(cloud)
    made = ask(cloud, "hello").json()
    where = f"/agents/a/endpoint/protocols/openai/responses/{made['id']}"
    assert cloud.get(where).json() == made
    assert cloud.delete(where).json()["deleted"] is True
    assert cloud.get(where).status_code == 404
    assert refusal(cloud.get(f"{where}-unknown"))[2] == "response_id"


def test_an_agent_that_dies_in_a_call_is_502_and_wakes_for_the_next(cloud: httpx.Client) -> None:
    deploy(cloud)
    session = open_session(cloud)
    died = ask(cloud, "die", agent_session_id=session)
    assert (died.status_code, died.headers["x-adc-response-details"]) == (502, "SandboxIdle")
    assert text_of(ask(cloud, "again", agent_session_id=session)) == "1 says again"


def test_a_stopped_session_keeps_its_files_and_wakes_on_the_routed_version(cloud: httpx.Client) -> None:
    deploy(cloud)
    session = open_session(cloud)
    invoke(cloud, {"write": "note.txt"}, session=session)
    assert cloud.post(f"/agents/a/endpoint/sessions/{session}:stop").status_code == 204
    assert cloud.post(f"/agents/a/endpoint/sessions/{session}:stop").status_code == 204
    stopped = cloud.get(f"/agents/a/endpoint/sessions/{session}").json()
    assert stopped["status"] == "idle"
    assert stopped["stopped_at"] is not None
    assert "bye" in log_of(cloud, session)
    deploy(cloud, {"main.py": AGENT + "# two"})
    assert text_of(ask(cloud, "hi", agent_session_id=session)) == "2 says hi"
    content = cloud.get(f"/agents/a/endpoint/sessions/{session}/files/content", params={"path": "note.txt"})
    assert content.text == "written by the agent"


def test_an_idle_session_is_released_and_a_pinned_one_wakes_on_its_own_version() -> None:
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), clock_speed=1000)
    with running(config) as url, a_project(url) as cloud:
        deploy(cloud, definition=code_definition(session_configuration={"idle_timeout_seconds": 300}))
        deploy(cloud, {"main.py": AGENT + "# two"})
        route(cloud, {"2": 100})
        session = open_session(cloud, version="1")
        while cloud.get(f"/agents/a/endpoint/sessions/{session}").json()["status"] != "idle":
            pass
        assert httpx.get(f"{url}/_emulator/processes").json() == []
        assert text_of(ask(cloud, "hi", agent_session_id=session)) == "1 says hi"


def test_disabling_lets_a_call_finish_and_then_releases_its_session(cloud: httpx.Client, base_url: str) -> None:
    deploy(cloud)
    session = open_session(cloud)
    process = process_of(base_url, session)
    where = "/agents/a/endpoint/protocols/invocations"
    params = {"agent_session_id": session}
    with cloud.stream("POST", where, json={"stream": 20}, params=params) as response:
        chunks = response.iter_text()
        assert next(chunks)
        assert cloud.post("/agents/a:disable").status_code == 204
        assert refusal(ask(cloud, "x", agent_session_id=session))[:2] == (403, "agent_disabled")
        assert "data: 19" in "".join(chunks)
    wait_until_gone(process)
    assert cloud.get(f"/agents/a/endpoint/sessions/{session}").json()["status"] == "idle"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"main.py": "import wheelhouse"}, "ModuleNotFoundError"),
        ({"main.py": "raise SystemExit('no settings')"}, "no settings"),
    ],
)
def test_code_that_cannot_start_fails_the_session_and_its_log_says_why(
    cloud: httpx.Client, files: dict[str, str], complaint: str
) -> None:
    deploy(cloud, files, code_definition("bundled"))
    failed = cloud.post("/agents/a/endpoint/sessions", json={})
    assert refusal(failed)[:2] == (500, "session_creation_failed")
    session = failed.headers["x-agent-session-id"]
    assert cloud.get(f"/agents/a/endpoint/sessions/{session}").json()["status"] == "failed"
    assert complaint in log_of(cloud, session)


def test_bundled_packages_are_found(cloud: httpx.Client) -> None:
    files = {"main.py": "import extra\n" + AGENT, "packages/extra.py": "print('bundled')"}
    assert deploy(cloud, files, code_definition("bundled"))["status"] == "active"
    assert text_of(ask(cloud, "hi")) == "1 says hi"


def a_wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr("tinydep.py", "WORD = 'installed'")
        wheel.writestr("tinydep-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n")
        wheel.writestr("tinydep-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nTag: py3-none-any\n")
        names = ("tinydep.py", "tinydep-1.0.dist-info/METADATA", "tinydep-1.0.dist-info/WHEEL")
        record = "".join(f"{name},,\n" for name in (*names, "tinydep-1.0.dist-info/RECORD"))
        wheel.writestr("tinydep-1.0.dist-info/RECORD", record)
    return buffer.getvalue()


def test_requirements_are_installed_for_the_version_alone(cloud: httpx.Client) -> None:
    wheel = "tinydep-1.0-py3-none-any.whl"
    requirements = f"./{wheel}\n"
    files: dict[str, str | bytes] = {"main.py": "import tinydep\n" + AGENT, "requirements.txt": requirements}
    files[wheel] = a_wheel()
    version = deploy(cloud, files)
    assert version["status"] == "active", version["error"]
    assert text_of(ask(cloud, "hi")) == "1 says hi"


def test_a_build_that_fails_says_the_installer_s_last_error(cloud: httpx.Client) -> None:
    version = deploy(cloud, {"main.py": AGENT, "requirements.txt": "# one\n./missing-1.0-py3-none-any.whl\n"})
    assert version["status"] == "failed"
    assert version["error"]["code"] == "CodeError"
    assert "missing-1.0-py3-none-any.whl" in version["error"]["message"]
    assert "exit code" in version["error"]["message"]
    session = {"version_indicator": {"type": "version_ref", "agent_version": "1"}}
    refused = cloud.post("/agents/a/endpoint/sessions", json=session)
    assert refused.headers["x-adc-response-details"] == "AgentVersionProvisioningFailed"
