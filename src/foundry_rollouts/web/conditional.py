"""Conditional reads: every JSON answer of the API has an ETag, and who has it already gets a line that says so."""

from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Conditional:
    """Add an ETag to what is read, and answer 304 where the client has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"} or "/api/" not in scope["path"]:
            await self._app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match")
        await self._app(scope, receive, _Tagged(send, known).take)


class _Tagged:
    """Holds a JSON answer back until it is whole."""

    def __init__(self, send: Send, known: str | None) -> None:
        self._send = send
        self._known = known
        self._start: Message | None = None
        self._body = bytearray()

    async def take(self, message: Message) -> None:
        """Pass on what is no JSON, and the rest once it is whole."""
        if message["type"] == "http.response.start" and _is_json(message):
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body", False):
            return
        start, body = self._start, bytes(self._body)
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        headers = MutableHeaders(scope=start)
        headers["ETag"] = tag
        if _names(self._known, tag):
            start["status"], body = 304, b""
            for name in ("content-length", "content-type"):
                del headers[name]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_json(start: Message) -> bool:
    media = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and media.split(";")[0].strip() == "application/json"


def _names(known: str | None, tag: str) -> bool:
    """Whether ``If-None-Match`` names the tag; a weak one is as good for reading."""
    given = [each.strip().removeprefix("W/") for each in (known or "").split(",")]
    return tag in given or "*" in given
