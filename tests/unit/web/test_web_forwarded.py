"""Behind a reverse proxy: whom the service believes, and where its routes are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from foundry_rollouts.web.forwarded import Forwarded
from foundry_rollouts.web.services import Services
from unit.web.served import app_over, client_of

PROXIES = ("10.0.0.2/32", "fd00::/64")


async def seen(client: str, headers: Mapping[str, str], base_path: str = "", path: str = "/a") -> dict[str, Any]:
    """Return what the app behind the proxy sees of a request."""
    got: dict[str, Any] = {}

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        named = {name.decode(): value.decode() for name, value in scope["headers"]}
        got.update({**scope, "headers": named, "client": scope["client"][0]})

    async def nothing(*_: object) -> Any: ...

    scope = {
        "type": "http",
        "scheme": "http",
        "client": (client, 5),
        "path": path,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    await Forwarded(app, PROXIES, base_path)(scope, nothing, nothing)
    return got


FORWARDED = {
    "Host": "10.0.0.7:8080",
    "X-Forwarded-For": "192.0.2.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "rollouts.example.com",
}


@pytest.mark.parametrize("proxy", ["10.0.0.2", "fd00::7"])
async def test_a_trusted_proxy_says_who_its_client_is(proxy: str) -> None:
    request = await seen(proxy, FORWARDED)
    assert (request["client"], request["scheme"]) == ("192.0.2.9", "https")
    assert request["headers"] == {"host": "rollouts.example.com"}


@pytest.mark.parametrize("client", ["10.0.0.3", "127.0.0.1", "fd00:0:0:1::7", "::ffff:10.0.0.2", "", "a unix socket"])
async def test_nobody_else_is_believed_and_what_they_say_goes_no_further(client: str) -> None:
    request = await seen(client, {**FORWARDED, "Forwarded": "for=127.0.0.1", "X-Forwarded-Prefix": "/x"})
    assert (request["client"], request["scheme"]) == (client, "http")
    assert request["headers"] == {"host": "10.0.0.7:8080"}


async def test_of_a_chain_the_last_that_is_no_proxy_of_ours_is_the_client() -> None:
    forged = {"X-Forwarded-For": "127.0.0.1, 192.0.2.9, 10.0.0.2"}
    assert (await seen("10.0.0.2", forged))["client"] == "192.0.2.9"


@pytest.mark.parametrize("scheme", ["ftp", "https, http", ""])
async def test_a_scheme_that_is_none_changes_nothing(scheme: str) -> None:
    assert (await seen("10.0.0.2", {"X-Forwarded-Proto": scheme}))["scheme"] == "http"


async def test_two_hosts_are_none() -> None:
    named = {"Host": "10.0.0.7", "X-Forwarded-Host": "a.example, b.example"}
    assert (await seen("10.0.0.2", named))["headers"] == {"host": "10.0.0.7"}


@pytest.mark.parametrize(
    ("path", "behind"),
    [("/a", "/ui/a"), ("/ui/a", "/ui/a"), ("/ui", "/ui/"), ("/", "/ui/"), ("/uia", "/ui/uia")],
)
async def test_a_base_path_may_be_taken_off_by_the_proxy_or_not(path: str, behind: str) -> None:
    request = await seen("192.0.2.1", {}, "/ui", path)
    assert (request["path"], request["root_path"]) == (behind, "/ui")


@pytest.mark.parametrize("prefix", ["", "/base"])
async def test_routes_and_links_are_below_the_base_path(services: Services, prefix: str) -> None:
    async with client_of(replace(services, base_path="/base")) as client:
        assert (await client.get(f"{prefix}/api/v1/rollouts")).json()["items"] == []
        assert (await client.get(f"{prefix}/healthz")).status_code == 200
        first = await client.get(f"{prefix}/")
        assert 'href="/base/' in first.text
        assert 'href="/api' not in first.text
        assert (await client.get(f"{prefix}/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        (("GET", "/api/v1/rollouts/nothing"), {}, 404),
        (("GET", "/nothing"), {}, 404),
        (("PUT", "/healthz"), {}, 405),
        (("POST", "/api/v1/rollouts"), {"Content-Type": "text/plain"}, 415),
        (("GET", "/healthz"), {"Host": "evil.example"}, 421),
        (("GET", "/api/v1/rollouts?limit=0"), {}, 422),
        (("GET", "/api/v1/me"), {"Authorization": "Bearer frt_none"}, 401),
    ],
)
async def test_the_type_of_every_problem_leads_to_its_page_below_the_base_path(
    services: Services, request_line: tuple[str, str], headers: dict[str, str], status: int
) -> None:
    async with client_of(replace(services, base_path="/base")) as client:
        answer = await client.request(*request_line, headers=headers)
        assert (answer.status_code, answer.json()["type"].startswith("/base/problems/")) == (status, True)
        assert (await client.get(answer.json()["type"])).status_code == 200


async def test_what_was_made_is_named_below_the_base_path(services: Services) -> None:
    async with client_of(replace(services, base_path="/base")) as client:
        started = await client.post("/api/v1/rollouts", json={"agent": "support-agent", "version": "2"})
        where = started.headers["location"]
        assert where.startswith("/base/api/v1/rollouts/")
        assert (await client.get(where)).json()["id"] == started.json()["id"]


async def test_who_comes_through_a_proxy_is_not_somebody_of_the_machine(services: Services) -> None:
    behind = replace(services, proxies=("127.0.0.1/32",), hosts=frozenset({"rollouts.example.com"}))
    transport = httpx.ASGITransport(app_over(behind))
    async with httpx.AsyncClient(transport=transport, base_url="http://rollouts.example.com") as client:
        answer = await client.get("/api/v1/rollouts", headers={"X-Forwarded-For": "192.0.2.9"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-IP", "CF-Connecting-IP"]
)
async def test_the_open_mode_is_not_for_those_whom_a_proxy_brings_that_nobody_named(
    services: Services, header: str
) -> None:
    async with client_of(services) as client:
        assert (await client.get("/api/v1/rollouts")).status_code == 200
        answer = await client.get("/api/v1/rollouts", headers={header: "192.0.2.9"})
    assert answer.status_code == 401
    assert "TRUSTED_PROXIES" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["//evil.example/api/v1/x", "/ui/../api/v1/x", "/nothing"])
@pytest.mark.parametrize(("base_path", "page"), [("", "/problems/not-found"), ("/base", "/base/problems/not-found")])
async def test_the_page_of_a_problem_is_ours_whatever_path_was_asked_for(
    services: Services, base_path: str, page: str, path: str
) -> None:
    async with client_of(replace(services, base_path=base_path)) as client:
        answer = await client.get(f"http://127.0.0.1:8080{base_path}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, page)
        assert (await client.get(page)).status_code == 200
