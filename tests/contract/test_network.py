"""What carries requests: each failure is the one by which it is tried again or not, and nothing is done behind it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trustme

from foundry_rollouts.network import Carrier, carrier

Serve = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def a_server(serve: Serve, trust: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve raw answers on loopback: ``serve`` is given the head of each request."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await serve(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=trust)
    async with server:
        scheme = "https" if trust else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answering(answer: bytes, heads: list[bytes] | None = None) -> Serve:
    async def serve(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if heads is not None:
            heads.append(head)
        writer.write(answer)

    return serve


def ending(answer: bytes = b"", *, with_reset: bool = False) -> Serve:
    async def serve(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if with_reset:
            writer.transport.abort()
        raise ConnectionError

    return serve


@asynccontextmanager
async def a_client(**but: object) -> AsyncIterator[httpx.AsyncClient]:
    trust = httpx.create_ssl_context()
    async with httpx.AsyncClient(transport=Carrier(trust), timeout=httpx.Timeout(None, connect=5), **but) as client:  # type: ignore[arg-type]
        yield client


@pytest.mark.parametrize(
    "serve",
    [
        ending(),
        ending(with_reset=True),
        ending(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
        ending(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        answering(b"no HTTP at all\r\n\r\n"),
    ],
)
async def test_an_answer_that_is_lost_is_never_taken_for_a_connection_that_was_not_made(serve: Serve) -> None:
    async with a_server(serve) as url, a_client() as client:
        with pytest.raises(httpx.TransportError) as told:
            await client.patch(url, content=b"{}")
    assert not isinstance(told.value, httpx.ConnectError | httpx.ConnectTimeout | httpx.TimeoutException)


async def test_a_connection_that_is_refused_was_not_made() -> None:
    async with a_server(answering(OK)) as url:
        pass
    async with a_client() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_a_certificate_that_nobody_vouches_for_is_no_connection() -> None:
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(trust)
    async with a_server(answering(OK), trust) as url, a_client() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_a_stream_that_falls_silent_is_a_timeout() -> None:
    async with a_server(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")) as url, a_client() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(url, timeout=httpx.Timeout(None, read=0.05))


async def test_more_streams_are_open_at_once_than_any_pool_has_by_itself() -> None:
    begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with a_server(answering(begun)) as url, a_client() as client:
        asked = [client.send(client.build_request("GET", url), stream=True) for _ in range(150)]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}
        await asyncio.gather(*(answer.aclose() for answer in answers))


async def test_a_request_is_sent_as_it_is_written_and_nothing_is_added() -> None:
    heads: list[bytes] = []
    async with a_server(answering(OK, heads)) as url, a_client(headers={"Accept-Encoding": "gzip"}) as client:
        await client.post(f"{url}/agents/a%3Ab%2Fc:stop?x=%7E%20y&z=a,b")
    line, *headers = heads[0].split(b"\r\n")
    assert line == b"POST /agents/a%3Ab%2Fc:stop?x=%7E%20y&z=a,b HTTP/1.1"
    names = {header.partition(b":")[0].lower() for header in headers if header}
    assert names == {b"host", b"accept", b"accept-encoding", b"connection", b"user-agent", b"content-length"}


async def test_a_redirect_is_an_answer_and_a_cookie_is_sent_once_at_most() -> None:
    heads: list[bytes] = []
    answer = b"HTTP/1.1 302 Found\r\nlocation: /other\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    async with a_server(answering(answer, heads)) as url, a_client() as client:
        assert (await client.get(url)).status_code == 302
        client.cookies.clear()
        await client.get(url)
    assert len(heads) == 2
    assert b"cookie:" not in b"".join(heads).lower()


async def test_an_upload_in_parts_arrives_whole() -> None:
    bodies: list[bytes] = []

    async def serve(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        bodies.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(OK)

    async with a_server(serve) as url, a_client() as client:
        await client.post(url, files={"code": ("a.zip", b"x" * 300_000, "application/zip")})
    assert bodies[0].count(b"x" * 300_000) == 1


async def test_a_connection_is_used_again_and_one_that_was_given_up_is_not() -> None:
    met: set[object] = set()

    async def serve(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.add(writer)
        writer.write(OK if len(met) == 1 else b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")

    async with a_server(serve) as url, a_client() as client:
        await client.get(url)
        await client.get(url)
        assert len(met) == 1
        met.add(None)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get(url), 0.05)
    assert len(met - {None}) == 2


def test_the_librarys_own_transport_goes_through_the_proxies_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trust = httpx.create_ssl_context()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert isinstance(carrier(trust), Carrier)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert carrier(trust) is None
    assert isinstance(carrier(trust, heeds_proxies=False), Carrier)
