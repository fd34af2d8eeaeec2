"""What attackers send over the wire, to a service that asks who they are: each with its refusal."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest

from builders import NOON, a_rollout
from component.web.raw import a_line, statuses
from fakes import stand
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from unit.web.admitted import Admitted, admitted
from unit.web.served import served, serving

PAUSE = "/api/v1/rollouts/r-1:pause"


@dataclass(frozen=True)
class Fortress:
    """A served service that asks for tokens, with a rollout that somebody would like to command."""

    url: str
    people: Admitted
    store: SqlStore

    def head(self, *lines: str, role: Role = Role.OPERATOR, path: str = PAUSE, method: str = "POST") -> bytes:
        """Return the head of a request of somebody who may, with ``lines`` added."""
        own = (
            f"{method} {path} HTTP/1.1",
            f"Host: {self.url[7:]}",
            f"Authorization: Bearer {self.people.secrets[role]}",
        )
        return "\r\n".join([*own, *lines, "", ""]).encode("latin-1")

    async def is_untouched(self) -> bool:
        return await self.store.commands("r-1") == []


@pytest.fixture
async def fortress(store: SqlStore, services: Services) -> AsyncIterator[Fortress]:
    people = await admitted(services)
    await stand(store, a_rollout(phase=Phase.PROGRESSING, step=1, generation=3, started_at=NOON))
    async with serving(people.services) as (url, _):
        yield Fortress(url, people, store)


BODY = '{"generation": 3}'
JSON = "Content-Type: application/json"
LENGTH = f"Content-Length: {len(BODY)}"
HIDDEN = f"GET /healthz HTTP/1.1\r\nHost: x\r\nX: {'x' * 10}"


async def test_the_command_that_attackers_would_give_is_obeyed_when_it_is_sent_properly(fortress: Fortress) -> None:
    async with a_line(fortress.url) as line:
        await line.send(fortress.head(JSON, LENGTH, "Connection: close") + BODY.encode())
        assert statuses(await line.rest()) == [202]
    assert not await fortress.is_untouched()


@pytest.mark.parametrize(
    "lines",
    [
        (JSON, LENGTH, "Transfer-Encoding: chunked"),
        (JSON, "Transfer-Encoding: chunked", LENGTH),
        (JSON, LENGTH, "Content-Length: 0"),
        (JSON, LENGTH, LENGTH),
        (JSON, "Content-Length: +17"),
        (JSON, "Content-Length: 17, 17"),
        (JSON, "Content-Length: 0x11"),
        (JSON, LENGTH, "Transfer-Encoding : chunked"),
        (JSON, LENGTH, "Transfer-Encoding: xchunked"),
        (JSON, LENGTH, "Transfer-Encoding: chunked, identity"),
        (JSON, LENGTH, "X: y\r\n Transfer-Encoding: chunked"),
        (JSON, LENGTH, "X: y\nTransfer-Encoding: chunked"),
        (JSON, LENGTH, "X: y\rTransfer-Encoding: chunked"),
        (JSON, LENGTH, "X: \x00"),
        (JSON, LENGTH, "X\x0b: y"),
        (JSON, LENGTH, ": y"),
        (JSON, LENGTH, "Host: evil.example"),
        (JSON, LENGTH, "Authorization: Bearer other"),
        (JSON, LENGTH, "Content-Type: text/plain"),
        (JSON, LENGTH, "Origin: http://a", "Origin: http://b"),
    ],
    ids=repr,
)
async def test_a_request_that_two_servers_would_read_differently_is_refused(
    fortress: Fortress, lines: tuple[str, ...]
) -> None:
    async with a_line(fortress.url) as line:
        await line.send(fortress.head(*lines, "Connection: close") + BODY.encode() + b"\r\n\r\n" + HIDDEN.encode())
        assert statuses(await line.rest()) == [400]
    assert await fortress.is_untouched()


@pytest.mark.parametrize(
    "first",
    [
        "POST\t/ HTTP/1.1",
        "POST / HTTP/1.1 x",
        "POST /\x00 HTTP/1.1",
        "P\x01ST / HTTP/1.1",
        "GET / HTTP/9.9",
        "\x16\x03\x01",
    ],
    ids=repr,
)
async def test_a_first_line_that_is_none_is_refused(fortress: Fortress, first: str) -> None:
    async with a_line(fortress.url) as line:
        await line.send(f"{first}\r\nHost: {fortress.url[7:]}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        assert statuses(await line.rest()) in ([400], [])
    assert await fortress.is_untouched()


@pytest.mark.parametrize("head", ["X: " + "x" * 40_000, "\r\n".join(f"X-{n}: {'x' * 90}" for n in range(500))])
async def test_headers_without_end_are_refused(fortress: Fortress, head: str) -> None:
    async with a_line(fortress.url) as line:
        await line.send(fortress.head(JSON, LENGTH, head) + BODY.encode())
        assert statuses(await line.rest()) == [400]
    async with a_line(fortress.url) as line:
        await line.send(fortress.head(JSON, LENGTH)[:-4] + b"\r\nX: " + b"x" * 40_000)
        assert statuses(await line.rest()) == [400]
    assert await fortress.is_untouched()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1, 127.0.0.1", "X-Forwarded-Proto": "https"},
        {"Forwarded": "for=127.0.0.1;host=localhost"},
        {"X-Real-IP": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Original-URL": "/healthz"},
        {"X-Rewrite-URL": "/healthz"},
        {"X-HTTP-Method-Override": "GET"},
        {"X-Forwarded-User": "ann", "X-Remote-User": "ann", "Remote-User": "ann"},
    ],
    ids=repr,
)
async def test_headers_that_a_proxy_could_have_sent_open_nothing(fortress: Fortress, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=fortress.url) as client:
        assert (await client.post(PAUSE, json={"generation": 3}, headers=headers)).status_code == 401
        assert (await client.get("/api/v1/agents", headers={"Host": "evil.example", **headers})).status_code == 421
    assert await fortress.is_untouched()


@pytest.mark.parametrize(
    "where",
    ["/api/v1/agents?token={}", "/api/v1/agents?access_token={}", "/api/v1/agents?x={}", "/{}", "/api/v1/agents/{}"],
)
async def test_a_token_in_an_address_opens_nothing_and_is_not_repeated(
    fortress: Fortress, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = fortress.people.secrets[Role.ADMIN]
    with caplog.at_level(logging.DEBUG):
        async with httpx.AsyncClient(base_url=fortress.url) as client:
            answer = await client.get(where.format(secret))
    assert answer.status_code == 400
    assert "revoke it" in answer.json()["detail"]
    assert secret not in answer.text
    # The client's own line; and pytest listens to a logger that the service keeps silent.
    others = [record for record in caplog.records if record.name not in {"httpx", "uvicorn.access"}]
    assert not [record for record in others if secret in record.getMessage()]


@pytest.mark.parametrize(
    "shown",
    ["Bearer", "Bearer ", "Basic YW5uOmFubg==", "bearer x y", "Bearer frt_", "Bearer frt_" + "A" * 43, "Bearer a.b.c",
     "Digest x", "Bearer \xff\xfe", "frt_" + "A" * 43, "Bearer ' OR 1=1 --", "Bearer frt_%"],
)  # fmt: skip
async def test_what_is_no_token_of_ours_opens_nothing(fortress: Fortress, shown: str) -> None:
    async with a_line(fortress.url) as line:
        own = (
            "GET /api/v1/agents HTTP/1.1",
            f"Host: {fortress.url[7:]}",
            "Connection: close",
            f"Authorization: {shown}",
        )
        await line.send("\r\n".join([*own, "", ""]).encode("latin-1"))
        answer = await line.rest()
    assert statuses(answer) == [401]
    assert b'www-authenticate: Bearer realm="foundry-rollouts"' in answer


@pytest.mark.parametrize(
    "body",
    [b"[" * 60_000, b'{"a":' * 10_000, b'{"generation":' + b"9" * 60_000 + b"}", b"\xff\xfe", b"\x00",
     b'{"generation": NaN}', b'{"generation": 1e999}', b'{"generation": 3, "generation": 3, "reason": "\\ud800"}'],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
async def test_json_that_is_deep_or_strange_is_a_problem_and_no_fault_of_ours(fortress: Fortress, body: bytes) -> None:
    async with fortress.people.as_role(Role.OPERATOR) as client:
        answer = await client.post(PAUSE, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert await fortress.is_untouched()


async def test_somebody_unknown_is_refused_before_anything_they_send_is_read(fortress: Fortress) -> None:
    async with a_line(fortress.url) as line:
        await line.send(fortress.head(JSON, LENGTH).replace(b"Bearer frt_", b"Bearer frt_0"))
        assert b"401" in await line.until(b"\r\n")


async def test_a_page_in_the_browser_of_somebody_on_the_machine_cannot_command(
    store: SqlStore, services: Services
) -> None:
    await stand(store, a_rollout(phase=Phase.PROGRESSING, step=1, generation=3, started_at=NOON))
    async with served(services) as (client, _):
        for headers, status in (
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://[::1"}, 403),
            ({"Origin": str(client.base_url), "Sec-Fetch-Site": "cross-site"}, 403),
            ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
            ({"Content-Type": "text/plain"}, 415),
        ):
            answer = await client.post(PAUSE, json={"generation": 3}, headers=headers)
            assert answer.status_code == status, headers
        assert await store.commands("r-1") == []
        assert (await client.post(PAUSE, json={"generation": 3})).status_code == 202


async def test_a_wrong_token_makes_nobody_of_anybody_on_the_machine(services: Services) -> None:
    async with served(services) as (client, _):
        assert (await client.get("/api/v1/agents")).status_code == 200
        wrong = await client.get("/api/v1/agents", headers={"Authorization": "Bearer frt_" + "A" * 43})
        assert wrong.status_code == 401


@pytest.mark.parametrize("shown", ["Bearer x", "Bearer", "Basic YTpi", "whatever"])
async def test_what_is_no_token_of_ours_is_no_matter_on_the_machine_and_opens_nothing_elsewhere(
    services: Services, shown: str
) -> None:
    """A program that speaks to the cloud and to us sends the same header to both."""
    async with served(services) as (client, _):
        assert (await client.get("/api/v1/agents", headers={"Authorization": shown})).status_code == 200
        passed_on = {"Authorization": shown, "X-Forwarded-For": "192.0.2.1"}
        assert (await client.get("/api/v1/agents", headers=passed_on)).status_code == 401
    async with served(replace(services, is_open=False)) as (client, _):
        assert (await client.get("/api/v1/agents", headers={"Authorization": shown})).status_code == 401


async def test_the_token_of_a_viewer_makes_a_viewer_on_the_machine_too(services: Services) -> None:
    people = await admitted(services)
    async with replace(people, services=services).as_role(Role.VIEWER) as client:
        assert (await client.get("/api/v1/agents")).status_code == 200
        assert (await client.post(PAUSE, json={"generation": 3})).status_code == 403
