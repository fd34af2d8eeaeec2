"""A small HTTP server for tests that leaves no connection open behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(answer: Answer) -> AsyncIterator[str]:
    """Serve with ``answer`` on loopback and yield the URL; what is still open at the end is cut."""
    answering: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering[task] = writer
        try:
            await answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del answering[task]

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await shut(server)
        for writer in answering.values():
            writer.transport.abort()
        await asyncio.gather(*answering, return_exceptions=True)  # what a cut answer raises is no news
        await server.wait_closed()


async def shut(server: asyncio.Server) -> None:
    """Close ``server``, but not between letting somebody in and hearing them: that line would stay open for good."""
    for door in server.sockets:
        asyncio.get_running_loop().remove_reader(door.fileno())
    for _ in range(3):  # turns of the loop until everybody who was let in is a connection
        await asyncio.sleep(0)
    server.close()


def say(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", **headers: str) -> None:
    """Answer with ``body`` and say that this is all."""
    told = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
