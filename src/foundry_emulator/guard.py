"""Who may call at all: the emulator runs what it is sent, so no page in somebody's browser may drive it.

A page of another site is known by what its browser adds (``Origin``, ``Sec-Fetch-Site``), and a foreign name that was
made to point at this machine by ``Host``. Programs add neither, and name this machine as they reached it.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from foundry_emulator.errors import FoundryError
from foundry_emulator.ids import guid
from foundry_emulator.middleware import refusal


class Guard:
    """Refuse every request that is not to this machine by name, or that another site's page sends."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = refused(Headers(scope=scope), self._host) if scope["type"] == "http" else None
        await (self._app if error is None else refusal(error, guid()))(scope, receive, send)


def refused(headers: Headers, listens: str) -> FoundryError | None:
    """Return why a request with these headers is not let in; None when it is."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _is_ours(hosts[0], listens):
        message = "The local Foundry answers to loopback names only: call it by 127.0.0.1, localhost or [::1]."
        return FoundryError(421, "host_not_local", message, "Host")
    origins = headers.getlist("origin")
    is_foreign = any(_netloc(origin) != hosts[0].lower() for origin in origins)
    if is_foreign or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        message = "A page of another site may not call the local Foundry: call it from a program."
        return FoundryError(403, "origin_not_local", message, "Origin")
    return None


def _netloc(origin: str) -> str:
    """Return host and port of an origin; empty when it names none, as ``null`` does."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_ours(host: str, listens: str) -> bool:
    if any(character in host for character in "@/?#\\ "):
        return False
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in {"localhost", listens} or ip_address(name).is_loopback
    except ValueError:
        return False
