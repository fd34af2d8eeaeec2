"""What stands before every route: which hosts we answer to, who may send, and the headers of every answer.

As long as nobody signs in, a page in somebody's browser must not be able to command us: a foreign page may not
send (Sec-Fetch-Site, Origin, JSON only), and a foreign name that was made to point here is not answered (Host).
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundry_rollouts.addresses import is_loopback
from foundry_rollouts.web.problems import SAFE_HEADERS, problem

BODY_BYTES = 64 * 1024  #: More than any request of ours needs.
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Refuse what a foreign page could send, and add the safe headers to every answer."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] = frozenset()) -> None:
        self._app = app
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

        refusal = refusal_of(scope["method"], Headers(scope=scope), self._hosts)
        app = self._app if refusal is None else problem(scope["path"], *refusal)
        await app(scope, receive, send_safely)


def refusal_of(method: str, headers: Headers, hosts: frozenset[str]) -> tuple[int, str] | None:
    """Return the status and the sentence to refuse a request with; None when it may pass."""
    host = headers.get("host", "")
    if not _is_ours(host, hosts):
        return 421, "this service does not answer to that host name: use its loopback address"
    if method in READING:
        return None
    origin = headers.get("origin")
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return 403, "another site's page may not send commands here"
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return 403, "another site's page may not send commands here"
    if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        return 415, "send JSON: Content-Type must be application/json"
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > BODY_BYTES:
        return 413, f"send at most {BODY_BYTES} bytes"
    return None


def _is_ours(host: str, hosts: frozenset[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in hosts or is_loopback(name)
