"""What a body, a path or a number cannot be is refused by name, and nothing more happens."""

from typing import Any

import httpx
import pytest

from emulated import ECHO, invoke, make, name_of, open_session, refusal
from raw_uploads import post

SESSION = "/agents/a/endpoint/sessions/session-1"
RESPONSES = "/agents/a/endpoint/protocols/openai/responses"


@pytest.fixture
def cloud(cloud: httpx.Client) -> httpx.Client:
    """Give a client of a project whose agent ``a`` has a session."""
    make(cloud)
    open_session(cloud, agent_session_id="session-1")
    return cloud


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (
            "/agents/a/versions",
            {"definition": {**ECHO, "environment_variables": {"A": "\0"}}},
            "definition.environment_variables.A",
        ),
        (
            "/agents/a/endpoint/sessions",
            {"version_indicator": {"type": "version_ref", "agent_version": ""}},
            "version_indicator.agent_version",
        ),
        (RESPONSES, {"input": "x", "agent_session_id": ""}, "agent_session_id"),
        (
            RESPONSES,
            {"input": "x", "agent_session_id": False},
            "agent_session_id",
        ),
        (RESPONSES, {"input": "x", "conversation": 5}, "conversation"),
        (f"{SESSION}/files/mkdir", {"path": "a\0b"}, "path"),
        (f"{SESSION}/files/mkdir", {"path": "x" * 300}, "path"),
    ],
)
def test_what_cannot_be_is_400_by_name(cloud: httpx.Client, path: str, body: dict[str, Any], param: str) -> None:
    assert refusal(cloud.post(path, json=body)) == (400, "invalid_request_error", param)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/agents/a/endpoint/protocols/invocations", "agent_session_id"), ("/agents/a/code:download", "agent_version")],
)
def test_an_empty_name_in_the_query_is_400(cloud: httpx.Client, path: str, name: str) -> None:
    method = "GET" if path.endswith("download") else "POST"
    answer = cloud.request(method, path, params={name: ""}, json={})
    assert refusal(answer) == (400, "invalid_request_error", name)


@pytest.mark.parametrize("path", ["%00", "x" * 300, "x/" * 600, "%ff", "", "%2e%2e/%2e%2e"])
def test_no_path_of_a_file_breaks_a_route(cloud: httpx.Client, base_url: str, path: str) -> None:
    where = f"/api/projects/{name_of(cloud)}{SESSION}/files"
    answers = [
        post(base_url, f"{where}/content?path={path}", b"x", method="PUT"),
        *(post(base_url, f"{where}/content?path={path}", b"", method=method) for method in ("GET", "DELETE")),
        post(base_url, f"{where}?path={path}", b"", method="GET"),
    ]
    assert [each.body for each in answers if each.status >= 500] == []


def test_a_directory_cannot_be_made_in_a_file(cloud: httpx.Client) -> None:
    where = f"{SESSION}/files"
    assert cloud.put(f"{where}/content", params={"path": "plain"}, content=b"x").status_code == 201
    assert refusal(cloud.post(f"{where}/mkdir", json={"path": "plain/folder"})) == (
        400,
        "invalid_request_error",
        "path",
    )


@pytest.mark.parametrize("limit", ["²", "٣", "9" * 5000, "-1", "1.0", "0", "101", ""])
def test_a_limit_is_a_plain_number(cloud: httpx.Client, limit: str) -> None:
    assert refusal(cloud.get("/agents", params={"limit": limit})) == (400, "invalid_request_error", "limit")
    tail = cloud.get(f"/agents/a/sessions/{open_session(cloud)}:logstream", params={"tail": f"{limit}0000"})
    assert refusal(tail) == (400, "invalid_request_error", "tail")


def test_a_body_that_is_too_large_is_413_and_a_compressed_one_415(cloud: httpx.Client) -> None:
    large = cloud.post("/agents/a/versions", content=b" " * (64 * 1024 * 1024 + 1))
    assert refusal(large)[:2] == (413, "request_too_large")
    packed = cloud.post("/agents/a/versions", content=b"{}", headers={"Content-Encoding": "gzip"})
    assert refusal(packed) == (415, "unsupported_media_type", "Content-Encoding")
    assert invoke(cloud, {}).status_code == 200


@pytest.mark.parametrize("query", ["kind=all", "follow=yes", "tail=0", "tail=301"])
def test_the_words_of_a_log_stream_are_few(base_url: str, cloud: httpx.Client, query: str) -> None:
    url = f"{base_url}/api/projects/{name_of(cloud)}/agents/a/sessions/session-1:logstream?api-version=v1&{query}"
    answer = httpx.get(url, headers={"Authorization": "Bearer x"})
    assert refusal(answer) == (400, "invalid_request_error", query.partition("=")[0])


def rules(version: str) -> dict[str, Any]:
    rule = {"type": "FixedRatio", "agent_version": version, "traffic_percentage": 100}
    return {"version_selector": {"version_selection_rules": [rule]}}


def test_an_agent_may_be_made_with_a_rule_for_its_first_version(cloud: httpx.Client) -> None:
    body = {"name": "pinned", "definition": ECHO, "agent_endpoint": rules("1")}
    made = cloud.post("/agents", json=body).json()
    assert made["agent_endpoint"]["version_selector"] == rules("1")["version_selector"]


def test_an_agent_with_a_rule_for_another_version_is_not_made(cloud: httpx.Client) -> None:
    body = {"name": "wrong", "definition": ECHO, "agent_endpoint": rules("2")}
    assert refusal(cloud.post("/agents", json=body))[0] == 400
    assert cloud.get("/agents/wrong").status_code == 404


def test_an_update_with_a_wrong_rule_makes_no_version(cloud: httpx.Client) -> None:
    body = {"definition": {**ECHO, "cpu": "2", "memory": "4Gi"}, "agent_endpoint": rules("9")}
    assert refusal(cloud.post("/agents/a", json=body))[0] == 400
    assert cloud.get("/agents/a").json()["versions"]["latest"]["version"] == "1"


def test_null_takes_the_protocols_away_in_either_dialect(cloud: httpx.Client) -> None:
    for word in ("protocols", "protocol_configuration"):
        cloud.patch("/agents/a", json={"agent_endpoint": {"protocols": ["responses"]}})
        endpoint = cloud.patch("/agents/a", json={"agent_endpoint": {word: None}}).json()["agent_endpoint"]
        assert (endpoint["protocols"], endpoint["protocol_configuration"]) == ([], {})


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "input"), ({"input": None}, "input"), ({"input": 5}, "input"), ({"input": "x", "stream": "true"}, "stream")],
)
def test_the_built_in_agent_answers_no_nonsense(cloud: httpx.Client, body: dict[str, Any], param: str) -> None:
    answer = cloud.post(RESPONSES, json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request_error", param)


def test_an_agent_without_a_description_of_its_invocations_says_so(cloud: httpx.Client) -> None:
    answer = cloud.get("/agents/a/endpoint/protocols/invocations/docs/openapi.json")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "no route /invocations/docs/openapi.json")
