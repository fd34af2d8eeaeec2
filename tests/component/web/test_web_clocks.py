"""Slow clients are cut off, and streams end when their reader may read no more: two replicas, one database."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from builders import NOON, a_rollout
from component.web.raw import RawLine, a_line, statuses
from fakes import stand
from foundry_rollouts.clock import now
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.entra.keys import Keys
from foundry_rollouts.entra.people import Believed, Entra
from foundry_rollouts.settings import EntraSettings
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.lines import Line
from foundry_rollouts.web.server import EmbeddedServer, config_for
from foundry_rollouts.web.services import Services
from identity_provider import CLIENT, TENANT, a_provider
from patience import PATIENCE
from unit.web.admitted import Admitted, a_secret, admitted
from unit.web.served import serving

EVENTS = "/api/v1/rollouts/r-1/events"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clocks of a line run out within a moment."""
    monkeypatch.setattr(Line, "request_seconds", 0.2)
    monkeypatch.setattr(Line, "unread_seconds", 0.2)


@pytest.fixture
async def replicas(services: Services, tmp_path: Path) -> AsyncIterator[tuple[Admitted, list[str]]]:
    """Serve two replicas of the service under access control, each with its own way into one database."""
    people = await admitted(replace(services, now=now))
    await stand(services.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))  # type: ignore[arg-type]
    other = SqlStore(f"sqlite:///{tmp_path / 'history.db'}", replica="there", lease=timedelta(seconds=30))
    async with AsyncExitStack() as opened:
        opened.push_async_callback(other.close)
        urls = []
        for store in (services.store, other):
            ours = replace(people.services, store=store, stop=asyncio.Event(), keepalive_after=timedelta(hours=1))
            urls.append((await opened.enter_async_context(serving(ours)))[0])
        yield people, urls


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"POST /api/v1/outcomes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9"
        b"\r\n\r\n{",
        b"\r\n",
    ],
)
async def test_a_request_that_does_not_come_in_whole_is_cut_off(services: Services, sent: bytes) -> None:
    async with serving(services) as (url, _), a_line(url) as line:
        await line.send(sent)
        assert statuses(await line.rest()) == []


@pytest.mark.usefixtures("quick")
async def test_a_request_that_comes_byte_by_byte_is_cut_off_all_the_same(services: Services) -> None:
    async with serving(services) as (url, _), a_line(url) as line:
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(drip(line), PATIENCE)


async def drip(line: RawLine) -> None:
    while True:
        await line.send(b"x")
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("quick")
async def test_a_line_that_was_used_once_is_no_reason_to_wait(services: Services) -> None:
    async with serving(services) as (url, _), a_line(url) as line:
        await line.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /healthz HTTP/1.1\r\n")
        assert statuses(await line.rest()) == [200]


@pytest.mark.usefixtures("quick")
async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    ended = asyncio.Event()

    async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not ended.is_set():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)

    server = EmbeddedServer(config_for(endless))
    with socket.create_server(("127.0.0.1", 0)) as door:
        task = asyncio.create_task(server.serve([door]))
        async with a_line(f"http://127.0.0.1:{door.getsockname()[1]}") as line:
            line.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await line.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await nobody_is_connected(server)
        ended.set()
        server.should_exit = True
        await task


async def nobody_is_connected(server: uvicorn.Server) -> None:
    is_seen = False
    async with asyncio.timeout(PATIENCE):
        while not is_seen or server.server_state.connections:
            is_seen = is_seen or bool(server.server_state.connections)
            await asyncio.sleep(0.01)


async def stream_until_it_ends(url: str, secret: str, begun: asyncio.Event) -> str:
    """Read the live history with ``secret``; return what came when the service ended it."""
    headers = {"Authorization": f"Bearer {secret}", "Accept": "text/event-stream"}
    got = ""
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", url + EVENTS, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        async for text in answer.aiter_text():
            got += text
            begun.set()
    return got


async def test_a_token_that_one_replica_revokes_opens_nothing_on_the_other_and_its_stream_there_ends(
    replicas: tuple[Admitted, list[str]],
) -> None:
    people, (here, there) = replicas
    begun = asyncio.Event()
    stream = asyncio.create_task(stream_until_it_ends(here, people.secrets[Role.VIEWER], begun))
    async with asyncio.timeout(PATIENCE), httpx.AsyncClient(timeout=PATIENCE) as client:
        await begun.wait()
        assert not stream.done()
        admin = {"Authorization": f"Bearer {people.secrets[Role.ADMIN]}"}
        revoked = await client.post(f"{there}/api/v1/tokens/t-viewer:revoke", json={}, headers=admin)
        assert revoked.status_code == 200
        viewer = {"Authorization": f"Bearer {people.secrets[Role.VIEWER]}"}
        for url in (here, there):
            refused = await client.get(f"{url}/api/v1/agents", headers=viewer)
            assert (refused.status_code, "was revoked" in refused.json()["detail"]) == (401, True)
        assert "rollout.progressing" in await stream


@dataclass
class Clock:
    """The present time, or a time to come once a test says so."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return now() + self.ahead


async def ends_when_the_time_has_come(url: str, secret: str, clock: Clock) -> None:
    """Read a stream with ``secret``, which lasts an hour, and let two hours pass."""
    begun = asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        stream = asyncio.create_task(stream_until_it_ends(url, secret, begun))
        await asyncio.wait({stream, asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert not stream.done()
        clock.ahead = timedelta(hours=2)
        assert "rollout.progressing" in await stream


async def test_a_stream_ends_when_its_token_expires(services: Services) -> None:
    await stand(services.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))  # type: ignore[arg-type]
    clock = Clock()
    secret = await a_secret(services, role=Role.VIEWER, expires_at=now() + timedelta(hours=1))
    async with serving(replace(services, is_open=False, now=clock)) as (url, _):
        await ends_when_the_time_has_come(url, secret, clock)


async def test_a_stream_of_somebody_who_may_go_on_goes_on(replicas: tuple[Admitted, list[str]]) -> None:
    people, (here, _) = replicas
    begun = asyncio.Event()
    stream = asyncio.create_task(stream_until_it_ends(here, people.secrets[Role.VIEWER], begun))
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
        await asyncio.sleep(2.5)  # two checks, and nothing ended
        assert not stream.done()
        stream.cancel()
        await asyncio.wait({stream})


async def test_a_stream_ends_when_a_token_of_the_identity_provider_expires(services: Services) -> None:
    await stand(services.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))  # type: ignore[arg-type]
    with a_provider() as provider:
        settings = EntraSettings(tenant=TENANT, client_id=CLIENT, authority=provider.issuer)
        believed = Believed(settings.issuers, settings.audiences, settings.tenant, settings.granted)
        clock = Clock()
        entra = Entra(Keys(settings.issuer, asyncio.get_running_loop().time), believed, clock)
        async with serving(replace(services, is_open=False, identities=entra, now=now)) as (url, _):
            await ends_when_the_time_has_come(url, provider.token(), clock)
        await entra.close()
