"""Requests to the cloud, by operation: the only module that imports the HTTP library.

Nothing is logged here: no token, no body, no address. What went well or not is passed to ``on_request``.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import httpx_sse

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import NOT_WHOLE, CloudError, Refusal, UsageError
from foundry_rollouts.foundry.auth import FOUNDRY, FixedToken, TokenSource
from foundry_rollouts.foundry.calls import Call, Reply, ServerEvent
from foundry_rollouts.foundry.priority import DEFAULT_TIMINGS, PriorityQueue, PriorityTimings, budget_of
from foundry_rollouts.foundry.refusals import refusal_of
from foundry_rollouts.foundry.retry import (
    CONNECTION,
    DEFAULT,
    DROPPED,
    TIMEOUT,
    RefusedError,
    RetryBudget,
    may_be_done_later,
    retry_after,
    retrying,
)
from foundry_rollouts.network import carrier
from foundry_rollouts.ports.priority import Priority, present_priority
from foundry_rollouts.tracing import context_headers, note, span
from foundry_rollouts.untrusted import clean

API_VERSION = "v1"
CONNECT = timedelta(seconds=10)
HEADERS = {"User-Agent": "foundry-rollouts", "Accept-Encoding": "gzip, deflate", "Accept": "application/json"}
SILENCE = timedelta(seconds=150)  #: A stream that sends nothing for so long is dead.

OnAnswer = Callable[[str, int, Mapping[str, str]], None]  #: operation, HTTP status, headers in lower case
OnRequest = Callable[[str, int | None, float], None]  #: operation, HTTP status (None: no answer), seconds
Wire = httpx.AsyncBaseTransport  #: What carries requests; tests hand in their own.


class OpenStream:
    """An answer that is still being sent."""

    def __init__(self, operation: str, response: httpx.Response, begun: float) -> None:
        self._operation = operation
        self._response = response
        self._begun = begun
        self.status = response.status_code
        self.headers: Mapping[str, str] = dict(response.headers)

    @property
    def lasts(self) -> timedelta:
        """How long ago it was asked for."""
        return timedelta(seconds=_monotonic() - self._begun)

    async def events(self) -> AsyncGenerator[ServerEvent, None]:
        """Yield server-sent events until the server ends the stream. Raises CloudError when it breaks."""
        try:
            async with aclosing(httpx_sse.EventSource(self._response).aiter_sse()) as events:
                async for event in events:
                    yield ServerEvent(event.event, event.data)
        except httpx_sse.SSEError as error:
            kind = self.headers.get("content-type", "").partition(";")[0].strip()
            came = f"'{clean(kind)[:60]}'" if kind else "something without a type"
            message = f"answered {self.status} with {came} instead of a stream of events"
            raise CloudError(self._operation, Refusal(None, NOT_WHOLE, message)) from error
        except httpx.HTTPError as error:
            raise _no_answer(self._operation, error) from error

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes. Raises CloudError when it breaks."""
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except httpx.HTTPError as error:
            raise _no_answer(self._operation, error) from error


@dataclass(frozen=True, slots=True)
class TransportOptions:
    """How a transport behaves: whom it tells, how patient it is, what it asks for."""

    on_request: OnRequest | None = None
    retries: RetryBudget = DEFAULT
    api_version: str = API_VERSION
    audience: str = FOUNDRY
    wire: Wire | None = None  #: None: the network.
    priorities: PriorityTimings = DEFAULT_TIMINGS


class Transport:
    """Sends calls to one endpoint. Every failure is a CloudError that names the operation."""

    def __init__(self, endpoint: str, tokens: TokenSource, options: TransportOptions) -> None:
        refuse_unsafe(endpoint, tokens)
        # The HTTP library logs whole addresses, signatures in the query included.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._base = endpoint.rstrip("/")
        self._options = options
        self._priorities = PriorityQueue(options.priorities)
        self.on_answer: OnAnswer | None = None
        self._auth = _Bearer(tokens, options.audience)
        # One for both pools: reading the certificates of the machine takes its time.
        trust = httpx.create_ssl_context()
        # A proxy of the environment cannot reach this machine's own loopback.
        is_remote = not is_loopback(host_of(endpoint))
        self._requests, self._streams = (
            httpx.AsyncClient(
                auth=self._auth,
                verify=trust,
                trust_env=is_remote,
                transport=options.wire or carrier(trust, heeds_proxies=is_remote),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            )
            for _ in ("requests", "streams")  # the pool is searched on each call: streams must not fill it
        )

    async def aclose(self) -> None:
        await self._requests.aclose()
        await self._streams.aclose()

    async def request(self, call: Call, budget: RetryBudget | None = None) -> Reply:
        """Send ``call``, again as its ``repeat`` allows, and return the whole answer. Raises CloudError."""
        urgency, is_certain = present_priority(), True
        if urgency is Priority.INTERACTIVE:
            call = replace(call, limit=min(call.limit, self._options.priorities.brief_limit))

        async def attempt() -> Reply:
            nonlocal is_certain
            await place.turn()
            try:
                return await self._once(call)
            except CloudError as error:
                is_certain = is_certain and not may_be_done_later(error.refusal)
                place.refused(error)
                raise

        with self._priorities.of(urgency) as place:
            patience = budget_of(urgency, budget or self._options.retries, self._options.priorities)
            reply = await retrying(attempt, call.repeat, patience)
        return replace(reply, is_certain=is_certain)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[OpenStream]:
        """Open an answer that comes bit by bit; tries again only until it begins. Raises CloudError."""

        async def attempt() -> tuple[httpx.Response, float]:
            await self._priorities.yield_to_many()
            return await self._open(call)

        response, begun = await retrying(attempt, call.repeat, self._options.retries)
        try:
            yield OpenStream(call.operation, response, begun)
        finally:
            await response.aclose()

    async def _once(self, call: Call) -> Reply:
        with span(*call.traced, is_request=True):
            return await self._sent(call)

    async def _sent(self, call: Call) -> Reply:
        await self._auth.prepare()
        begun = _monotonic()
        status: int | None = None
        try:
            async with asyncio.timeout(call.limit.total_seconds()):
                response = await self._requests.send(self._built(call, None))
            status = self._heard(call, response)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _no_answer(call.operation, error) from error
        finally:
            self._tell(call.operation, status, begun)
        reply = Reply(status, dict(response.headers), response.content, timedelta(seconds=_monotonic() - begun))
        _refuse_errors(call, reply)
        return reply.checked(call)

    async def _open(self, call: Call) -> tuple[httpx.Response, float]:
        with span(*call.traced, is_request=True):
            return await self._begun(call)

    async def _begun(self, call: Call) -> tuple[httpx.Response, float]:
        await self._auth.prepare()
        begun = _monotonic()
        status: int | None = None
        try:
            async with asyncio.timeout(call.limit.total_seconds()):
                response = await self._streams.send(self._built(call, SILENCE), stream=True)
                status = self._heard(call, response)
                content = b"" if response.is_success else await response.aread()
        except (httpx.HTTPError, TimeoutError) as error:
            raise _no_answer(call.operation, error) from error
        finally:
            self._tell(call.operation, status, begun)
        _refuse_errors(call, Reply(status, dict(response.headers), content, timedelta(0)))
        return response, begun

    def _heard(self, call: Call, response: httpx.Response) -> int:
        if self.on_answer is not None:
            self.on_answer(call.operation, response.status_code, dict(response.headers))
        note({"http.response.status_code": response.status_code})
        return response.status_code

    def _built(self, call: Call, silence: timedelta | None) -> httpx.Request:
        headers = {**HEADERS, **context_headers(), **call.headers}
        interface = {"api-version": self._options.api_version} if call.is_versioned else {}
        query = httpx.QueryParams({**interface, **call.params})  # Given apart, the address would be read twice.
        content: dict[str, Any] = {}
        if call.body is not None and call.body.archive is not None:
            content["files"] = {
                "metadata": (None, call.body.content, "application/json"),
                "code": ("agent.zip", call.body.archive, "application/zip"),
            }
        elif call.body is not None:
            headers["Content-Type"] = call.body.content_type
            content["content"] = call.body.content
        address = f"{self._base}/{call.path}" + (f"?{query}" if query else "")
        patience = {"timeout": _spans(call, silence).as_dict()}
        return httpx.Request(call.method, address, headers=headers, extensions=patience, **content)

    def _tell(self, operation: str, status: int | None, begun: float) -> None:
        if self._options.on_request is not None:
            self._options.on_request(operation, status, _monotonic() - begun)


def _spans(call: Call, silence: timedelta | None) -> httpx.Timeout:
    # A connection that is not made is reported before the whole call is out of time: it is another fault.
    connect = min(CONNECT, call.limit / 2)
    return httpx.Timeout(silence.total_seconds() if silence else None, connect=connect.total_seconds())


class _Bearer(httpx.Auth):
    """Puts the token on each request, and asks for another one once when it is refused."""

    def __init__(self, tokens: TokenSource, audience: str) -> None:
        self._tokens = tokens
        self._audience = audience

    async def prepare(self) -> None:
        """Have a token at hand before the clock of a call starts: a slow credential is no slow answer."""
        await self._tokens.token(self._audience)

    async def async_auth_flow(self, request: httpx.Request) -> Any:
        token = await self._tokens.token(self._audience)
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            fresh = await self._tokens.token(self._audience, rejected=token)
            if fresh != token:
                request.headers["Authorization"] = f"Bearer {fresh}"
                yield request


def refuse_unsafe(endpoint: str, tokens: TokenSource) -> None:
    """Raise UsageError when a token would travel in the clear, or the local one would leave this machine."""
    if not endpoint.startswith(("https://", "http://")):
        raise UsageError(f"endpoint {endpoint!r} is no address: it begins with https://")
    if is_loopback(host_of(endpoint)):
        return
    if isinstance(tokens, FixedToken):
        raise UsageError(f"credential emulator is only for a Foundry on this machine, not for {endpoint}: use default")
    if endpoint.startswith("http://"):
        raise UsageError(f"endpoint {endpoint} would carry tokens in the clear: use https")


def _refuse_errors(call: Call, reply: Reply) -> None:
    if reply.status < 300 or reply.status in call.tolerates:
        return
    refusal = refusal_of(reply.status, reply.headers, reply.content)
    raise RefusedError(call.operation, refusal, retry_after(reply.headers))


def _no_answer(operation: str, error: Exception) -> CloudError:
    # The library's own texts may hold addresses, so only the kind of failure is reported.
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.ProxyError():
            refusal = Refusal(None, CONNECTION, f"no connection ({type(error).__name__})")
        case TimeoutError() | httpx.TimeoutException():
            refusal = Refusal(None, TIMEOUT, "no answer within the time limit")
        case _:
            refusal = Refusal(None, DROPPED, f"the connection broke ({type(error).__name__})")
    return CloudError(operation, refusal)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()
