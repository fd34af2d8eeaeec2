"""Behind a reverse proxy: what its headers say of the client is believed when it is one of ours, and the base path.

The headers of everybody else are taken away, so that nothing behind this can believe them by mistake.
"""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_FORWARDED = b"x-forwarded-"
#: What else proxies add, and no client does; nothing of it is believed.
_OF_PROXIES = frozenset(
    {b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"true-client-ip", b"cf-connecting-ip", b"x-original-host"}
)
_HOST = b"x-forwarded-host"
PASSED_ON = "is_passed_on"  #: In the state of a request: a proxy brought it, whether it is one of ours or not.


class Forwarded:
    """Put the client, the scheme and the host of a trusted proxy's client in place, and the base path."""

    def __init__(self, app: ASGIApp, proxies: Sequence[str] = (), base_path: str = "") -> None:
        self._app = app
        self._networks = tuple(map(ip_network, proxies))
        self._base_path = base_path
        # It wants types of its own for the same three arguments.
        self._believing = ProxyHeadersMiddleware(self._behind, list(proxies))  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})[PASSED_ON] = any(_says_client(name) for name, _ in scope["headers"])
        if scope["type"] == "http" and self._is_trusted(scope):
            _take_host(scope)
            await self._believing(scope, receive, send)  # type: ignore[arg-type]
        else:
            await self._behind(scope, receive, send)

    async def _behind(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = [(name, value) for name, value in scope["headers"] if not _says_client(name)]
            _enter(scope, self._base_path)
        await self._app(scope, receive, send)

    def _is_trusted(self, scope: Scope) -> bool:
        client = scope.get("client")
        try:
            address = ip_address(client[0]) if client else None
        except ValueError:
            return False
        return address is not None and any(address in network for network in self._networks)


def _says_client(name: bytes) -> bool:
    return name.startswith(_FORWARDED) or name in _OF_PROXIES


def _take_host(scope: Scope) -> None:
    """Put the host that the proxy was asked for in the place of the one that it asked for."""
    named = [value for name, value in scope["headers"] if name == _HOST]
    if len(named) == 1 and b"," not in named[0]:
        rest = [(name, value) for name, value in scope["headers"] if name != b"host"]
        scope["headers"] = [(b"host", named[0].strip()), *rest]


def _enter(scope: Scope, base_path: str) -> None:
    """Let routes be found below ``base_path``, whether the proxy took it off or not."""
    if not base_path:
        return
    scope["root_path"] = base_path
    path = scope["path"]
    if path == base_path:
        path = f"{base_path}/"
    if not path.startswith(f"{base_path}/"):
        path = base_path + path
    scope["path"] = path
