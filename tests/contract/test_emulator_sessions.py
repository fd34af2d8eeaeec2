"""Sessions: lists and their dialects, log streams, files, conversations, users, quotas."""

import json
import threading
from typing import Any

import httpx
import pytest

from emulated import ECHO, a_project, ask, invoke, make, name_of, open_session, refusal, route, text_of
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle

SESSIONS = "/agents/a/endpoint/sessions"
OPENAI = "/agents/a/endpoint/protocols/openai"


def frames_of(text: str) -> list[dict[str, Any]]:
    events = [event for event in text.split("\n\n") if event]
    assert all(event.startswith("event: log\ndata: {") for event in events)
    return [json.loads(event.removeprefix("event: log\ndata: ")) for event in events]


def test_sessions_are_paged_in_both_dialects(cloud: httpx.Client) -> None:
    make(cloud)
    made = [open_session(cloud) for _ in range(5)]
    first = cloud.get(SESSIONS, params={"limit": "2"}).json()
    assert [each["agent_session_id"] for each in first["data"]] == [made[4], made[3]]
    by_token = cloud.get(SESSIONS, params={"limit": "2", "pagination_token": first["pagination_token"]}).json()
    by_cursor = cloud.get(SESSIONS, params={"limit": "2", "after": first["last_id"]}).json()
    assert by_token == by_cursor
    assert [each["agent_session_id"] for each in by_cursor["data"]] == [made[2], made[1]]
    last = cloud.get("/agents/a/sessions", params={"after": made[1]}).json()
    assert [each["agent_session_id"] for each in last["data"]] == [made[0]]
    assert "pagination_token" not in last
    assert cloud.get(SESSIONS, params={"after": made[0]}).json()["last_id"] is None
    before = cloud.get(SESSIONS, params={"before": made[0], "limit": "2"}).json()
    assert [each["agent_session_id"] for each in before["data"]] == [made[2], made[1]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"agent_session_id": "short"}, (400, "invalid_request_error", "agent_session_id")),
        ({"version_indicator": {"type": "version_ref", "agent_version": "9"}}, (404, "not_found", None)),
        (
            {"version_indicator": {"type": "version_ref", "agent_version": "@latest"}},
            (400, "invalid_request_error", "version_indicator.agent_version"),
        ),
        ({"colour": "red"}, (400, "invalid_request_error", "colour")),
    ],
)
def test_a_session_that_cannot_be_is_refused(
    cloud: httpx.Client, body: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    make(cloud)
    assert refusal(cloud.post(SESSIONS, json=body)) == expected


def test_a_session_id_is_taken_once_and_deleted_as_often_as_you_like(cloud: httpx.Client) -> None:
    make(cloud)
    open_session(cloud, agent_session_id="my-session")
    assert refusal(cloud.post(SESSIONS, json={"agent_session_id": "my-session"}))[:2] == (409, "conflict")
    assert [cloud.delete(f"{SESSIONS}/my-session").status_code for _ in range(2)] == [204, 204]
    assert cloud.get(f"{SESSIONS}/my-session").status_code == 404
    assert refusal(ask(cloud, agent_session_id="my-session"))[:2] == (404, "not_found")


def test_every_way_to_name_a_session_leads_to_it(cloud: httpx.Client) -> None:
    make(cloud, reply="one")
    make(cloud, reply="two")
    session = open_session(cloud, version="1")
    by_header = cloud.post(f"{OPENAI}/v1/responses", json={"input": "x"}, headers={"x-agent-session-id": session})
    answers = [ask(cloud, agent_session_id=session), ask(cloud, session_id=session), by_header]
    assert {text_of(each) for each in answers} == {"one"}
    where = "/agents/a/endpoint/protocols/invocations"
    assert cloud.post(where, params={"session_id": session}, content=b"x").text == "one"
    assert cloud.post(where, json={"session_id": session}).text == "two"


def test_a_conversation_stays_in_its_session(cloud: httpx.Client) -> None:
    make(cloud)
    conversation = cloud.post(f"{OPENAI}/conversations", json={}).json()
    assert conversation["object"] == "conversation"
    sessions = {ask(cloud, conversation={"id": conversation["id"]}).json()["agent_session_id"] for _ in range(3)}
    assert len(sessions) == 1
    assert ask(cloud, conversation=conversation["id"]).json()["agent_session_id"] in sessions
    assert refusal(ask(cloud, conversation="conv_unknown")) == (404, "not_found", "conversation")
    assert cloud.delete(f"{OPENAI}/conversations/{conversation['id']}").json()["deleted"] is True


def test_the_project_s_own_address_serves_agents_by_reference(cloud: httpx.Client, base_url: str) -> None:
    make(cloud, reply="one")
    make(cloud, reply="two")
    where = f"{base_url}/api/projects/{name_of(cloud)}/openai/v1/responses"
    headers = {"Authorization": "Bearer x"}
    body = {"input": "x", "agent_reference": {"type": "agent_reference", "name": "a", "version": "1"}}
    answer = httpx.post(where, json=body, headers=headers)
    assert text_of(answer) == "one"
    assert answer.json()["agent_reference"]["version"] == "1"
    assert httpx.get(f"{where}/{answer.json()['id']}", headers=headers).json()["id"] == answer.json()["id"]
    assert httpx.post(where, json=body, headers=headers, params={"api-version": "v1"}).status_code == 400
    assert refusal(httpx.post(where, json={"input": "x"}, headers=headers))[2] == "agent_reference"
    cloud.post("/agents/a:disable")
    assert httpx.post(where, json=body, headers=headers).status_code == 403


def test_files_come_and_go_in_the_session_s_home(cloud: httpx.Client) -> None:
    make(cloud)
    files = f"{SESSIONS}/{open_session(cloud)}/files"
    written = cloud.put(f"{files}/content", params={"path": "/docs/a.txt"}, content=b"hello")
    assert (written.status_code, written.json()) == (201, {"path": "docs/a.txt", "bytes_written": 5})
    assert cloud.get(f"{files}/content", params={"path": "/home/session/docs/a.txt"}).content == b"hello"
    assert cloud.post(f"{files}/mkdir", json={"path": "empty"}).status_code == 201
    entries = cloud.get(files, params={"path": "/"}).json()["entries"]
    assert [(each["name"], each["is_directory"]) for each in entries] == [("docs", True), ("empty", True)]
    assert cloud.get(f"{files}/stat", params={"path": "docs/a.txt"}).json()["size"] == 5
    assert cloud.delete(files, params={"path": "docs"}).status_code == 409
    assert cloud.delete(files, params={"path": "docs", "recursive": "true"}).status_code == 204
    assert cloud.get(f"{files}/content", params={"path": "docs/a.txt"}).status_code == 404
    assert refusal(cloud.get(f"{files}/content", params={"path": "../../etc/passwd"}))[0] == 400


def test_users_see_their_own_sessions_only(cloud: httpx.Client) -> None:
    make(cloud)
    ada, bob = {"x-ms-user-identity": "ada"}, {"x-ms-user-identity": "bob"}
    session = cloud.post(SESSIONS, json={}, headers=ada).json()["agent_session_id"]
    assert cloud.get(f"{SESSIONS}/{session}", headers=ada).status_code == 200
    assert refusal(cloud.get(f"{SESSIONS}/{session}", headers=bob))[:2] == (403, "session_not_accessible")
    assert cloud.get(SESSIONS, headers=bob).json()["data"] == []
    assert len(cloud.get(SESSIONS).json()["data"]) == 1
    assert refusal(cloud.get(SESSIONS, headers={"x-ms-user-identity": "a b"}))[2] == "x-ms-user-identity"


def test_the_header_scheme_demands_an_isolation_key(cloud: httpx.Client) -> None:
    make(cloud)
    scheme = {"type": "Entra", "isolation_key_source": {"kind": "Header"}}
    cloud.patch("/agents/a", json={"agent_endpoint": {"authorization_schemes": [scheme]}})
    assert refusal(cloud.post(SESSIONS, json={}))[2] == "x-ms-user-isolation-key"
    assert cloud.post(SESSIONS, json={}, headers={"x-ms-user-isolation-key": "u1"}).status_code == 201


def test_a_protocol_that_the_endpoint_does_not_enable_is_refused(cloud: httpx.Client) -> None:
    definition = {**ECHO, "protocol_versions": [{"protocol": "responses", "version": "2.0.0"}]}
    cloud.post("/agents/a/versions", json={"definition": definition})
    assert refusal(invoke(cloud, {}))[:2] == (400, "endpoint-protocol-not-enabled")


def test_the_log_stream_ends_when_the_session_is_deleted(cloud: httpx.Client) -> None:
    make(cloud)
    session = open_session(cloud)
    with cloud.stream("GET", f"/agents/a/versions/1/sessions/{session}:logstream") as stream:
        chunks = stream.iter_text()
        text = next(chunks)
        deletion = threading.Thread(target=lambda: cloud.delete(f"{SESSIONS}/{session}"))
        deletion.start()
        frames = frames_of(text + "".join(chunks))
        deletion.join()
    assert set(frames[0]) == {"timestamp", "session_id", "session_state", "agent", "version", "last_accessed"}
    assert [each["stream"] for each in frames[1:3]] == ["status", "stderr"]
    assert cloud.get(f"/agents/a/sessions/{session}:logstream").status_code == 404


def test_the_log_stream_replays_a_tail_and_then_follows(cloud: httpx.Client) -> None:
    make(cloud)
    session = open_session(cloud)
    for _ in range(3):
        ask(cloud, agent_session_id=session)
    with cloud.stream("GET", f"/agents/a/sessions/{session}:logstream", params={"tail": "2"}) as stream:
        lines = (line for line in stream.iter_lines() if "Inbound POST /responses completed with status 200" in line)
        replayed = [next(lines), next(lines)]
        ask(cloud, agent_session_id=session)
        assert next(lines) not in replayed


def test_a_silent_log_says_so_and_ends_after_its_limit() -> None:
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), clock_speed=300)
    with running(config) as url, a_project(url) as cloud:
        make(cloud)
        session = open_session(cloud)
        frames = frames_of(cloud.get(f"/agents/a/sessions/{session}:logstream").text)
        assert frames[-1]["message"] == "No logs since last 60 seconds"
        assert cloud.get(f"{SESSIONS}/{session}").json()["status"] == "active"


def test_switches_change_how_this_cloud_behaves(cloud: httpx.Client, base_url: str) -> None:
    make(cloud, reply="one")
    make(cloud, reply="two")
    with httpx.Client(base_url=f"{base_url}/_emulator") as control:
        control.patch("/switches", json={"ignore_weights": True})
        route(cloud, {"1": 60, "2": 40})
        assert {text_of(ask(cloud)) for _ in range(20)} == {"one"}
        control.patch("/switches", json={"ignore_weights": False, "routing_lag_seconds": 600})
        assert route(cloud, {"2": 100}).json()["agent_endpoint"]["version_selector"]["version_selection_rules"] == [
            {"type": "FixedRatio", "agent_version": "2", "traffic_percentage": 100}
        ]
        assert "one" in {text_of(ask(cloud)) for _ in range(40)}
        control.patch("/switches", json={"routing_lag_seconds": 0, "drafts_enabled": False, "max_sessions": 1})
        draft = cloud.post(
            "/agents/a/versions", json={"definition": {**ECHO, "cpu": "2", "memory": "4Gi"}, "draft": True}
        )
        assert (draft.json()["version"], draft.json()["draft"]) == ("3", False)
        refused = cloud.post(SESSIONS, json={})
        assert refused.headers["x-adc-response-details"] == "QuotaExceeded"
        assert control.post("/reset").status_code == 204
        assert control.get("/switches").json()["max_sessions"] is None
        assert cloud.get("/agents/a").status_code == 404


def test_all_new_sessions_may_go_to_one_version_whatever_the_weights_say(cloud: httpx.Client, base_url: str) -> None:
    make(cloud, reply="one")
    make(cloud, reply="two")
    route(cloud, {"1": 50, "2": 50})
    with httpx.Client(base_url=f"{base_url}/_emulator") as control:
        for version, reply in (("1", "one"), ("2", "two"), ("9", None)):
            control.patch("/switches", json={"new_sessions_to": version})
            assert {text_of(ask(cloud)) for _ in range(20)} == ({reply} if reply else {"one", "two"})
        control.post("/reset")


def test_the_model_of_one_version_or_of_all_may_throttle(cloud: httpx.Client, base_url: str) -> None:
    make(cloud)
    make(cloud, latency_ms=1)
    sessions = [open_session(cloud, version=version) for version in ("1", "2")]
    with httpx.Client(base_url=f"{base_url}/_emulator") as control:
        for switches, expected in (
            ({"model_throttle_rate": 1, "model_throttle_version": "2"}, [200, 500]),
            ({"model_throttle_version": None}, [500, 500]),
            ({"model_throttle_rate": 0}, [200, 200]),
        ):
            control.patch("/switches", json=switches)
            answers = [ask(cloud, agent_session_id=session) for session in sessions]
            assert [each.status_code for each in answers] == expected
            codes = [each.json()["error"]["code"] for each in answers if each.status_code == 500]
            assert set(codes) <= {"rate_limit_exceeded"}
        control.post("/reset")


def test_a_session_unused_for_thirty_days_has_expired() -> None:
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), clock_speed=10_000_000)
    with running(config) as url, a_project(url) as cloud:
        make(cloud)
        session = open_session(cloud)
        while cloud.get(f"{SESSIONS}/{session}").json()["status"] != "expired":
            pass
        assert refusal(ask(cloud, agent_session_id=session))[:2] == (404, "not_found")
