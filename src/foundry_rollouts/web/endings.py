"""The end of answers that never end by themselves: a stream ends when who opened it may read it no more."""

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundry_rollouts.core.model.access import ANYBODY, Person
from foundry_rollouts.errors import AccessError, RolloutsError
from foundry_rollouts.web.access import recognised
from foundry_rollouts.web.services import services_of

log = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0  #: How often who reads a stream is checked as their next request would be.
_STREAM = b"text/event-stream"


class StreamsEnd:
    """End a stream once its reader is refused: the token was revoked or has expired, or somebody signed out."""

    def __init__(self, app: ASGIApp, check_seconds: float = CHECK_SECONDS) -> None:
        self._app = app
        self._check_seconds = check_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        watched = _Watched(Request(scope), send, self._check_seconds)
        try:
            await self._app(scope, receive, watched.send)
        except asyncio.CancelledError:
            if not watched.is_refused:
                raise
            watched.task.uncancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await watched.stop()


class _Watched:
    """One answer on its way; from its first line on it is watched when it is a stream."""

    def __init__(self, request: Request, send: Send, check_seconds: float) -> None:
        self._request = request
        self._send = send
        self._check_seconds = check_seconds
        self._watch: asyncio.Task[None] | None = None
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - requests are served in tasks
        self.task: asyncio.Task[Any] = task
        self.is_refused = False

    async def send(self, message: Message) -> None:
        person: Person | None = getattr(self._request.state, "person", None)
        if message["type"] == "http.response.start" and _is_stream(message) and person not in {None, ANYBODY}:
            self._watch = asyncio.create_task(self._until_refused(person))
        await self._send(message)

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    async def _until_refused(self, person: Person | None) -> None:
        services = services_of(self._request)
        while True:
            await asyncio.sleep(self._check_seconds)
            try:
                if await recognised(services, self._request, is_use=False) == person:
                    continue
                because = "the role has changed"
            except AccessError as error:
                because = str(error)
            except RolloutsError:
                continue  # nobody can be asked just now; the stream has its own troubles then
            log.info("web.stream_refused", path=self._request.url.path, because=because)
            self.is_refused = True
            self.task.cancel()
            return


def _is_stream(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(_STREAM) for name, value in message["headers"])
