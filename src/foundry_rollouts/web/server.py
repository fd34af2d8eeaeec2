"""The server inside the daemon: its socket, and its end."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.web.lines import Line

#: How long calls that are under way at the end may take; a caller that is silent must not keep the process.
GRACE_SECONDS = 5
#: So many clients are served at once; the controller needs connections of its own.
MOST_CLIENTS = 512


def config_for(app: ASGIApp) -> uvicorn.Config:
    """Return how ``app`` is served: behind our clocks, and believing nobody's headers but as it says itself."""
    return uvicorn.Config(
        app,
        http=Line,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CLIENTS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


class EmbeddedServer(uvicorn.Server):
    """A server that leaves the signals to the daemon around it, and no connection open behind it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch nothing."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as usual, but not between letting somebody in and hearing them: their line would stay open for good."""
        for door in sockets or []:
            asyncio.get_running_loop().remove_reader(door)
        for _ in range(3):  # turns of the loop until everybody who was let in is a connection
            await asyncio.sleep(0)
        await super().shutdown(sockets)
        for connection in self.server_state.connections:
            connection.transport.abort()
        await asyncio.sleep(0)  # until the loop has let go of them


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Open the socket to serve on. Raises RolloutsError when the address is taken or is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full, or asyncio does not know it for TCP and leaves the delay of small answers on.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            ours.bind((host, port))
        except OSError as error:
            raise RolloutsError(f"cannot listen on {host}:{port}: {error.strerror}; choose another address") from error
        yield [ours]
