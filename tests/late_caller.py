"""A caller that comes in while a server stops: it must not be left on an open line that nobody will ever answer."""

import socket

import uvicorn

from patience import PATIENCE


async def is_left_waiting(server: uvicorn.Server) -> bool:
    """Stop ``server`` just when somebody comes in; return whether that caller's line is still open afterwards.

    The server is to stop as soon as it has opened two doors. While it opens the second one, somebody enters by the
    first: too early to be turned away, too late to be told that the server stops.
    """
    server.should_exit = True
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
        socket.create_connection(first.getsockname(), timeout=PATIENCE) as caller,
    ):
        await server.serve([first, second])
        try:
            return caller.recv(1) != b""
        except TimeoutError:
            return True
        except ConnectionError:
            return False
