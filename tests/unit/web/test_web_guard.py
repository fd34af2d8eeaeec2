"""A page in somebody's browser must not be able to command us."""

from collections.abc import AsyncIterator

import pytest
from starlette.datastructures import Headers

from builders import a_rollout
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.web.guard import BODY_BYTES, refusal_of
from unit.web.served import Web

PAUSE, BODY = "/api/v1/rollouts/r-1:pause", {"generation": 1}
JSON = {"content-type": "application/json"}


def status_of(method: str, hosts: frozenset[str] = frozenset(), **headers: str) -> int | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = refusal_of(method, Headers({"host": "127.0.0.1:8080", **JSON, **named}), hosts)
    return refusal[0] if refusal else None


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "127.0.0.1", "127.8.8.8", "localhost:8080", "LOCALHOST", "[::1]:8080", "[::1]"]
)
def test_loopback_names_are_answered(host: str) -> None:
    assert status_of("GET", host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7:8080", "", "[::1", "a@b:c:d"],
)
def test_a_name_that_was_made_to_point_here_is_not_answered(host: str) -> None:
    assert status_of("GET", host=host) == 421


def test_the_host_that_we_listen_on_is_answered() -> None:
    assert status_of("GET", frozenset({"rollouts.internal"}), host="rollouts.internal:443") is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_another_site_may_not_send(site: str) -> None:
    assert status_of("POST", sec_fetch_site=site) == 403
    assert status_of("GET", sec_fetch_site=site) is None


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_our_own_pages_and_people_may_send(site: str) -> None:
    assert status_of("POST", sec_fetch_site=site, origin="http://127.0.0.1:8080") is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9090"])
def test_a_browser_that_names_another_origin_may_not_send(origin: str) -> None:
    assert status_of("POST", origin=origin) == 403


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_could_send_is_refused(kind: str) -> None:
    assert status_of("POST", content_type=kind) == 415


def test_json_with_a_charset_is_json() -> None:
    assert status_of("POST", content_type="application/json; charset=utf-8") is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Host": "evil.example"}, 421), ({"Sec-Fetch-Site": "cross-site"}, 403), ({"Content-Type": "text/plain"}, 415)],
)
async def test_a_refused_command_is_a_problem_and_never_reaches_the_store(
    web: Web, headers: dict[str, str], status: int
) -> None:
    await stand(web.store, a_rollout(phase=Phase.PROGRESSING, step=1))

    answer = await web.client.post(PAUSE, json=BODY, headers=headers)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == PAUSE
    assert await web.store.commands("r-1") == []


async def test_a_body_that_is_too_large_is_refused(web: Web) -> None:
    answer = await web.client.post(PAUSE, json={"generation": 1, "reason": "x" * BODY_BYTES})

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_hides_its_length_is_refused_too(web: Web) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * BODY_BYTES

    answer = await web.client.post(PAUSE, content=endless(), headers=JSON)

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/v1/agents", "/nothing", "/api/openapi.json"])
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
async def test_every_answer_carries_the_safe_headers(web: Web, path: str, host: str) -> None:
    headers = (await web.client.get(path, headers={"Host": host})).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    # A page's own forms must name where they come from; no other site learns it either way.
    is_page = headers["content-type"].startswith("text/html")
    assert headers["referrer-policy"] == ("same-origin" if is_page else "no-referrer")
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("PUT", PAUSE, "POST"), ("DELETE", "/api/v1/agents", "GET"), ("PATCH", "/api/v1/rollouts", "GET, POST")],
)
async def test_a_method_that_nobody_serves_is_named_whatever_the_body_is(
    web: Web, method: str, path: str, allow: str
) -> None:
    answer = await web.client.request(method, path, content="a=1", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_no_json_is_read_by_nobody(web: Web) -> None:
    for path, status in ((PAUSE, 415), ("/nothing", 404)):
        answer = await web.client.post(path, content="a=1", headers={"Content-Type": "text/plain"})
        assert answer.status_code == status
