"""The headers beside a code upload, written line by line: blanks around them, two of a name, none at all."""

import hashlib
import http.client
import json
from itertools import count

import httpx
import pytest

from patience import PATIENCE
from raw_uploads import PLAIN, ZIP, a_socket, code, metadata, multipart

AGENTS = count()
HASH = "x-ms-code-zip-sha256"
NAME = "x-ms-agent-name"
SHA = hashlib.sha256(ZIP).hexdigest()


def create(base_url: str, *headers: tuple[str, str]) -> httpx.Response:
    """Send the headers as they are: clients tidy them up."""
    body = multipart(metadata(), code())
    address = httpx.URL(base_url)
    connection = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
    connection.putrequest("POST", "/api/projects/headers/agents?api-version=2025-11-15-preview")
    for name, value in [("Authorization", "Bearer x"), ("Content-Type", PLAIN), *headers]:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return httpx.Response(answer.status, content=content)


@pytest.mark.parametrize("value", [SHA, SHA.upper(), f"  {SHA} \t"])
def test_the_hash_is_read_in_any_case_and_without_its_blanks(base_url: str, value: str) -> None:
    name = f"agent-{next(AGENTS)}"
    answer = create(base_url, (HASH, value), (NAME, f" {name} "))
    assert answer.json()["name"] == name, answer.text


def test_a_header_may_be_there_twice_when_it_says_the_same(base_url: str) -> None:
    name = f"agent-{next(AGENTS)}"
    assert create(base_url, (HASH, SHA), (HASH, SHA), (NAME, name), (NAME, name)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "param", "says"),
    [
        ([(NAME, "b")], HASH, "is required"),
        ([(HASH, ""), (NAME, "b")], HASH, "is required"),
        ([(HASH, " "), (NAME, "b")], HASH, "is required"),
        ([(HASH, SHA), (HASH, "0" * 64), (NAME, "b")], HASH, "given twice"),
        ([(HASH, "0" * 64), (NAME, "b")], HASH, "does not match"),
        ([(HASH, f"{SHA},{SHA}"), (NAME, "b")], HASH, "does not match"),
        ([(HASH, SHA)], NAME, "is required"),
        ([(HASH, SHA), (NAME, "b"), (NAME, "c")], NAME, "given twice"),
        ([(HASH, SHA), (NAME, "b" * 64)], NAME, "not a valid agent name"),
        ([(HASH, SHA), (NAME, "-b")], NAME, "not a valid agent name"),
        ([(HASH, SHA), (NAME, "b/c")], NAME, "not a valid agent name"),
    ],
)
def test_a_wrong_header_is_400_by_name(base_url: str, headers: list[tuple[str, str]], param: str, says: str) -> None:
    answer = create(base_url, *headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert says in error["message"]


def test_a_name_of_63_characters_is_a_name(base_url: str) -> None:
    assert create(base_url, (HASH, SHA), (NAME, "b" * 63)).json()["name"] == "b" * 63


def test_of_two_callers_who_create_an_agent_at_once_one_is_refused(base_url: str) -> None:
    """Both pass the check of the name before their bodies arrive."""
    name, body = f"agent-{next(AGENTS)}", multipart(metadata(), code())
    head = (
        "POST /api/projects/headers/agents?api-version=v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n"
        f"Content-Type: {PLAIN}\r\n{HASH}: {SHA}\r\n{NAME}: {name}\r\nConnection: close\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with a_socket(base_url) as one, a_socket(base_url) as other:
        for caller in (one, other):
            caller.sendall(head)
            assert caller.recv(4096).startswith(b"HTTP/1.1 100 ")
        statuses = []
        for caller in (one, other):
            caller.sendall(body)
            statuses.append(caller.recv(4096).split()[1])
    assert statuses == [b"200", b"409"]


def test_an_offer_of_another_protocol_loses_no_body(base_url: str) -> None:
    """Java's HttpClient and ``curl --http2`` send one with every request in clear text."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "UPGRADE": "h2c", "HTTP2-Settings": "AAMAAABk"}
    headers = {"Authorization": "Bearer x", "Content-Type": PLAIN, HASH: SHA, **offer}
    address = httpx.URL(base_url)
    connection = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
    for _ in range(2):
        path = f"/api/projects/headers/agents/agent-{next(AGENTS)}/versions?api-version=v1"
        connection.request("POST", path, multipart(metadata(), code()), headers)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["version"]) == (200, "1")
    connection.close()
