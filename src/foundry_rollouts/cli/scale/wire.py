"""The light Foundry on a socket: HTTP/1.1 with connections that stay open, and nothing else of it.

``python -m foundry_rollouts.cli.scale.wire PORT DELAY_MS`` serves until it is asked to stop.
"""

import asyncio
import signal
import sys
from urllib.parse import parse_qsl, urlsplit

from foundry_rollouts.cli.scale.cloud import CONTROL, Cloud

PROJECT = "/api/projects/scale"
_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection: requests come one after the other, and are answered in order."""

    def __init__(self, cloud: Cloud, delay: float) -> None:
        self._cloud = cloud
        self._delay = delay  #: Seconds until an answer is sent: the way to a cloud and back.
        self._come = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server hands over
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._come += data
        while (end := self._come.find(_END)) >= 0:
            head = self._come[:end].decode("latin-1")
            whole = end + len(_END) + _length(head)
            if len(self._come) < whole:
                return
            body, self._come = self._come[end + len(_END) : whole], self._come[whole:]
            self._answer(head, body)

    def _answer(self, head: str, body: bytes) -> None:
        method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        if url.path.startswith(CONTROL):
            self._send(*self._cloud.control(url.path, query))
        elif self._delay:
            answer = self._cloud.answer(method, url.path.removeprefix(PROJECT), query, body)
            asyncio.get_running_loop().call_later(self._delay, self._send, *answer)
        else:
            self._send(*self._cloud.answer(method, url.path.removeprefix(PROJECT), query, body))

    def _send(self, status: int, content: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            self._transport.write(head.encode() + content)


def _length(head: str) -> int:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def serve(port: int, delay: float) -> None:
    """Serve an empty project until SIGTERM or SIGINT."""
    loop, stop, cloud = asyncio.get_running_loop(), asyncio.Event(), Cloud()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: Connection(cloud, delay), "127.0.0.1", port, backlog=1024)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
