"""Carries HTTP requests over the network for the library that writes and reads them, at a fifth of what its own costs.

A failure is reported as that library reports it, for what is tried again depends on it: only a connection that was
never made is one. Nothing is followed, decompressed or kept in a jar here; the library does that.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import cast
from urllib.request import getproxies

import aiohttp
import httpx
from yarl import URL

#: How long a connection is kept that nobody uses; a server may close it at any time, and a change would be lost on it.
KEPT_SECONDS = 5.0
#: What one line and one header of an answer may be as long as.
LONGEST = 65_536
NO_PROXY = "no"  #: Where the standard library keeps the hosts that no proxy is for.

#: The first that fits, from the one that says most.
_FAILURES: tuple[tuple[type[Exception], type[httpx.HTTPError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
    (ValueError, httpx.LocalProtocolError),
)
#: Headers that are sent only where the request has them.
_NONE_OF_ITS_OWN = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


def carrier(trust: ssl.SSLContext, *, heeds_proxies: bool = True) -> httpx.AsyncBaseTransport | None:
    """Return what carries requests; None where the environment names a proxy: the library's own knows all of them."""
    return None if heeds_proxies and getproxies().keys() - {NO_PROXY} else Carrier(trust)


class Carrier(httpx.AsyncBaseTransport):
    """Sends each request over a connection of its own or one that is free; there are as many as it takes."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request``; its answer is read later. Raises httpx.TransportError."""
        self._session = self._session or self._begun()
        limits = request.extensions.get("timeout", {})
        with _as_failures():
            answer = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=_body(request),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=limits.get("connect"), sock_read=limits.get("read")),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Answer(answer), request=request)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _begun(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS, ssl=self._trust),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NONE_OF_ITS_OWN,
            max_line_size=LONGEST,
            max_field_size=LONGEST,
        )


class _Answer(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_failures():
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        # A connection whose answer was read to its end is free already; any other is of no more use.
        self._answer.close()


def _body(request: httpx.Request) -> bytes | httpx.AsyncByteStream | None:
    try:
        return request.content or None
    except httpx.RequestNotRead:
        return cast("httpx.AsyncByteStream", request.stream)


@contextmanager
def _as_failures() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError) as error:
        kind = next(kind for of, kind in _FAILURES if isinstance(error, of))
        raise kind(type(error).__name__) from error
