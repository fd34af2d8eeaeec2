"""What stands before every route: which hosts we answer to, who may send, and the headers of every answer.

A page in somebody's browser must not be able to command us: a foreign page may not send (Sec-Fetch-Site, Origin, JSON
only), and a foreign name that was made to point here is not answered (Host).
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi.routing import iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundry_rollouts.addresses import is_loopback
from foundry_rollouts.web.problems import SAFE_HEADERS, problem

BODY_BYTES = 64 * 1024  #: More than any request of ours needs.
READING = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})  #: Any other method is served by nobody.
WRONG_KIND = 415
FORMS = "/ui/"  #: What our own pages send forms to.

#: Of these, two would be read differently by a proxy and by us.
_SINGLE = ("host", "authorization", "content-length", "content-type", "origin", "transfer-encoding")
#: One of our tokens in an address, where logs and histories would keep it.
_TOKEN = re.compile(rb"frt_[\w-]{20}|access_token=|[?&]token=")

Refusal = tuple[int, str]


class Guard:
    """Refuse what a foreign page could send, and add the safe headers to every answer."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], hosts: frozenset[str] = frozenset()) -> None:
        self._app = app
        self._routes = [context.original_route for context in iter_route_contexts(routes)]
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        is_form = scope["path"].removeprefix(scope.get("root_path", "")).startswith(FORMS)
        refusal = unclear(scope) or refusal_of(
            scope["method"], Headers(scope=scope), self._hosts | _own(scope), scope["scheme"], takes_forms=is_form
        )
        if refusal and refusal[0] == WRONG_KIND and not self._serves(scope):
            refusal = None  # Nobody reads that body: the app answers 404, or 405 with the methods that it serves.
        app = self._app if refusal is None else problem(_shown(scope), *refusal)
        await app(scope, receive, send_safely)

    def _serves(self, scope: Scope) -> bool:
        """Whether a route takes the method at that path."""
        return any(route.matches(scope)[0] is Match.FULL for route in self._routes if route is not None)


def unclear(scope: Scope) -> Refusal | None:
    """Return why a request is refused for its form; None when it may pass."""
    names = [name.decode("latin-1") for name, _ in scope["headers"]]
    for name in _SINGLE:
        if names.count(name) > 1:
            return 400, f"send one header {name.title()}"
    if "transfer-encoding" in names and "content-length" in names:
        return 400, "send Content-Length or Transfer-Encoding, not both"
    if _holds_token(scope):
        return 400, "a token in an address ends up in logs: revoke it, and send another in the header Authorization"
    return None


def refusal_of(
    method: str, headers: Headers, hosts: frozenset[str], scheme: str = "http", *, takes_forms: bool = False
) -> Refusal | None:
    """Return the status and the sentence to refuse a request with; None when it may pass."""
    host = headers.get("host", "")
    if not _is_ours(host, hosts):
        return 421, "this service does not answer to that host name: use its address, or set FOUNDRY_ROLLOUTS_HOSTS"
    if method in READING:
        return None
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} or not _is_same(headers, host, scheme):
        return 403, "another site's page may not send commands here"
    if method in CHANGING and (refusal := _refusal_of_kind(headers, takes_forms=takes_forms)):
        return refusal
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > BODY_BYTES:
        return 413, f"send at most {BODY_BYTES} bytes"
    return None


def _is_same(headers: Headers, host: str, scheme: str) -> bool:
    """Whether a browser that names an origin names ours; what is sent in the clear commands nobody behind TLS."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.netloc.lower() == host.lower() and parts.scheme in {scheme, "https"}


def _holds_token(scope: Scope) -> bool:
    return _TOKEN.search(scope.get("raw_path") or b"") is not None or (
        _TOKEN.search(b"?" + scope.get("query_string", b"")) is not None
    )


def _shown(scope: Scope) -> Scope:
    """Return the scope with the path as an answer may repeat it."""
    return {**scope, "path": "/"} if _holds_token(scope) else scope


def _own(scope: Scope) -> frozenset[str]:
    """Return the address that the client reached: a name that was made to point here is never an address."""
    server = scope.get("server")
    return frozenset({server[0]}) if server and server[0] else frozenset()


def _refusal_of_kind(headers: Headers, *, takes_forms: bool) -> Refusal | None:
    """Refuse a body that is not JSON; a form is taken from our own pages, and from nobody who does not say so."""
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if not takes_forms:
        return None if kind == "application/json" else (WRONG_KIND, "send JSON: Content-Type must be application/json")
    if kind != "application/x-www-form-urlencoded":
        return WRONG_KIND, "send a form: Content-Type must be application/x-www-form-urlencoded"
    if "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
        return 403, "a form is taken from our own pages only: programs use the API"
    return None


def _is_ours(host: str, hosts: frozenset[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in hosts or is_loopback(name)
