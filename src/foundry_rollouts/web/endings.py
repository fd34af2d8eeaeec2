"""The end of answers that never end by themselves: a stream ends when who opened it may read it no more.

Nobody holds so many of them that others find the service full.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundry_rollouts.core.model.access import ANYBODY, Person
from foundry_rollouts.errors import AccessError, RolloutsError
from foundry_rollouts.web.access import recognised
from foundry_rollouts.web.problems import problem
from foundry_rollouts.web.services import services_of

log = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0  #: How often who reads a stream is checked as their next request would be.
MOST_STREAMS = 100  #: How many one token or person may hold open here.
_STREAM = b"text/event-stream"


class StreamsEnd:
    """End a stream once its reader is refused: the token was revoked or has expired, or somebody signed out.

    Who holds ``most`` already gets no other one.
    """

    def __init__(self, app: ASGIApp, check_seconds: float = CHECK_SECONDS, most: int = MOST_STREAMS) -> None:
        self._app = app
        self._check_seconds = check_seconds
        self._held = _Held(most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        watched = _Watched(Request(scope), send, self._check_seconds, self._held)
        try:
            await self._app(scope, receive, watched.send)
        except asyncio.CancelledError:
            if not watched.is_refused:
                raise
            watched.task.uncancel()
            if watched.is_one_too_many:
                said = f"you hold {self._held.most} streams of events open: close one"
                await problem(scope, 429, said, headers={"Retry-After": "5"})(scope, receive, send)
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await watched.stop()


class _Held:
    """How many streams everybody holds."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._by_name: Counter[str] = Counter()

    def take(self, name: str) -> bool:
        """Take another one; whether ``name`` may."""
        if self._by_name[name] >= self.most:
            return False
        self._by_name[name] += 1
        return True

    def give_back(self, name: str) -> None:
        """Let one go."""
        self._by_name[name] -= 1
        if not self._by_name[name]:
            del self._by_name[name]


class _Watched:
    """One answer on its way; from its first line on it is watched when it is a stream."""

    def __init__(self, request: Request, send: Send, check_seconds: float, held: _Held) -> None:
        self._request = request
        self._send = send
        self._check_seconds = check_seconds
        self._held = held
        self._name: str | None = None  #: Under which the stream is counted.
        self._watch: asyncio.Task[None] | None = None
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - requests are served in tasks
        self.task: asyncio.Task[Any] = task
        self.is_refused = False
        self.is_one_too_many = False

    async def send(self, message: Message) -> None:
        person: Person | None = getattr(self._request.state, "person", None)
        if message["type"] == "http.response.start" and _is_stream(message) and person and person is not ANYBODY:
            self._begin(person)
        if not self.is_one_too_many:
            await self._send(message)

    def _begin(self, person: Person) -> None:
        name = f"{person.way} {person.token or person.name}"
        if self._held.take(name):
            self._name = name
            self._watch = asyncio.create_task(self._until_refused(person))
        else:
            self.is_refused = self.is_one_too_many = True
            self.task.cancel()

    async def stop(self) -> None:
        """Stop watching; the stream is over."""
        if self._name is not None:
            self._held.give_back(self._name)
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
