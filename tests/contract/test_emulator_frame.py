"""What stands around an answer: its headers, and the requests that are none."""

import socket

import httpx
import pytest

from emulated import make, open_session

IDS = ("x-request-id", "apim-request-id", "x-ms-region")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/agents/a", 200),
        ("GET", "/agents/none", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/agents", 405),
        ("POST", "/agents", 400),
    ],
)
def test_every_answer_can_be_named(cloud: httpx.Client, method: str, path: str, status: int) -> None:
    make(cloud)
    answer = cloud.request(method, path)
    assert answer.status_code == status
    assert all(answer.headers[name] for name in IDS)
    if answer.is_error:
        assert answer.json()["error"]["additionalInfo"]["request_id"] == answer.headers["x-request-id"]


def test_even_that_of_a_caller_who_is_not_let_in(cloud: httpx.Client) -> None:
    answer = cloud.get("/agents", headers={"Host": "example.com"})
    assert answer.status_code == 421
    assert all(answer.headers[name] for name in IDS)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/agents", "GET, HEAD, POST"),
        ("OPTIONS", "/agents/a", "DELETE, GET, HEAD, PATCH, POST"),
        ("PATCH", "/agents/a/versions/1", "DELETE, GET, HEAD"),
        ("GET", "/agents/a/endpoint/protocols/invocations", "POST"),
        ("HEAD", "/agents/a/sessions/session-1:logstream", "GET"),
    ],
)
def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(
    cloud: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = cloud.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_head_is_get_without_the_body(cloud: httpx.Client) -> None:
    make(cloud)
    answer = cloud.head("/agents/a")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(cloud.get("/agents/a").content))


def test_head_of_a_log_does_not_hold_the_connection(cloud: httpx.Client) -> None:
    make(cloud)
    session = open_session(cloud)
    assert cloud.head(f"/agents/a/sessions/{session}:logstream").status_code == 405
    assert cloud.get("/agents/a").status_code == 200


@pytest.mark.parametrize("path", ["/agents/a%2Fversions%2F1", "/agents/a%2fversions", "/agents%2Fa"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_encoded_slash_does_not_reach_into_an_agent(cloud: httpx.Client, method: str, path: str) -> None:
    make(cloud)
    assert cloud.request(method, path).status_code in (404, 405)
    assert cloud.get("/agents/a/versions/1").status_code == 200


def test_what_is_no_http_is_refused_and_hung_up_on(base_url: str) -> None:
    host, port = httpx.URL(base_url).host, httpx.URL(base_url).port
    with socket.create_connection((host, port or 80), timeout=10) as connection:
        connection.sendall(b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_no_project_has_a_nul_in_its_name(base_url: str) -> None:
    url = f"{base_url}/api/projects/p%00/agents?api-version=v1"
    assert httpx.get(url, headers={"Authorization": "Bearer x"}).status_code == 404
