"""A version for one call: what becomes of the wish, and what the answer says of it."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulated import ECHO, make, open_session, refusal, route

OVERRIDE = "x-agent-version-override"
PROTOCOLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/agents/a/endpoint/protocols/openai/responses", {"input": "x"}),
    ("/agents/a/endpoint/protocols/invocations", {"n": 1}),
)
Wishes = list[tuple[str, str]]


@pytest.fixture
def control(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{base_url}/_emulator") as client:
        yield client
        client.patch("/switches", json={"version_override": "obeys"})


@pytest.fixture
def two_versions(cloud: httpx.Client) -> httpx.Client:
    """Version 1 has all the weight, version 2 none."""
    make(cloud)
    make(cloud, latency_ms=1)
    route(cloud, {"1": 100})
    return cloud


def told(answer: httpx.Response) -> tuple[str | None, ...]:
    """Return which version served, how it was chosen, and whether the wish for one was not obeyed."""
    assert answer.status_code == 200, answer.text
    names = ("resolved", "resolution", "fallback")
    return tuple(answer.headers.get(f"x-agent-version-{name}") for name in names)


def asked(cloud: httpx.Client, *wishes: str, **more: str) -> list[httpx.Response]:
    """Ask by both protocols with as many wishes; ``more`` goes into the body of the one and the query of the other."""
    headers: Wishes = [(OVERRIDE, wish) for wish in wishes]
    (responses, said), (invocations, body) = PROTOCOLS
    return [
        cloud.post(responses, json={**said, **more}, headers=headers),
        cloud.post(invocations, json=body, headers=headers, params=more),
    ]


@pytest.mark.parametrize(
    ("switch", "wish", "expected"),
    [
        ("obeys", "2", ("2", "override", None)),
        ("obeys", "latest", ("2", "override", None)),
        ("obeys", "1", ("1", "override", None)),
        ("ignores", "2", ("1", "endpoint", None)),
        ("falls-back", "2", ("1", "endpoint", "true")),
        ("falls-back", "9", ("1", "endpoint", "true")),
        ("absent", "2", (None, None, None)),
    ],
)
def test_a_version_for_one_call(
    two_versions: httpx.Client,
    control: httpx.Client,
    switch: str,
    wish: str,
    expected: tuple[str | None, ...],
) -> None:
    control.patch("/switches", json={"version_override": switch})
    assert [told(answer) for answer in asked(two_versions, wish)] == [expected, expected]
    without = (None, None, None) if switch == "absent" else ("1", "endpoint", None)
    assert [told(answer) for answer in asked(two_versions)] == [without, without]


def test_a_session_keeps_its_version_whatever_a_call_wishes(two_versions: httpx.Client) -> None:
    session = open_session(two_versions, version="1")
    assert [told(each) for each in asked(two_versions, "2", agent_session_id=session)] == [
        ("1", "endpoint", "true")
    ] * 2
    assert told(asked(two_versions, "1", agent_session_id=session)[0]) == ("1", "override", None)


@pytest.mark.parametrize("wishes", [("",), ("2, 1",), ("@latest",), ("../2",), ("1", "2"), ("2", "2")])
def test_a_wish_that_is_no_version_is_refused_where_wishes_are_read(
    two_versions: httpx.Client, control: httpx.Client, wishes: tuple[str, ...]
) -> None:
    for switch, status in (("obeys", 400), ("falls-back", 400), ("ignores", 200), ("absent", 200)):
        control.patch("/switches", json={"version_override": switch})
        assert [each.status_code for each in asked(two_versions, *wishes)] == [status, status]
    control.patch("/switches", json={"version_override": "obeys"})
    assert {refusal(each) for each in asked(two_versions, *wishes)} == {(400, "invalid_request_error", OVERRIDE)}


def test_a_draft_may_serve_and_an_unknown_a_failed_or_a_closed_version_does_not(
    two_versions: httpx.Client, base_url: str
) -> None:
    draft = two_versions.post(
        "/agents/a/versions", json={"definition": {**ECHO, "cpu": "2", "memory": "4Gi"}, "draft": True}
    ).json()["version"]
    assert draft.startswith("draft-")
    assert told(asked(two_versions, draft)[0])[0] == draft
    assert told(asked(two_versions, "latest")[0])[0] == "2"
    assert {refusal(each)[:2] for each in asked(two_versions, "9")} == {(404, "not_found")}
    project = two_versions.base_url.path.rstrip("/").rpartition("/")[2]
    with httpx.Client(base_url=f"{base_url}/_emulator/projects/{project}") as control:
        control.post("/agents/a/fail-next-version", json={"code": "ImageError", "message": "no"}).raise_for_status()
    make(two_versions, latency_ms=2)
    assert {refusal(each)[:2] for each in asked(two_versions, "3")} == {(400, "bad_request")}
    two_versions.post("/agents/a:disable")
    assert {refusal(each)[:2] for each in asked(two_versions, "1")} == {(403, "agent_disabled")}
