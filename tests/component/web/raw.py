"""A line to a server, byte by byte, as no library would use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from patience import PATIENCE


@dataclass(frozen=True)
class RawLine:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, mark: bytes) -> bytes:
        """Return what comes, up to and with ``mark``."""
        return await asyncio.wait_for(self.reader.readuntil(mark), PATIENCE)

    async def rest(self) -> bytes:
        """Return all that comes until the server closes the line."""
        got = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while data := await self.reader.read(65536):
                    got += data
        except ConnectionError:
            pass
        return got


@asynccontextmanager
async def a_line(url: str) -> AsyncIterator[RawLine]:
    """Open a line to the server at ``url``."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield RawLine(reader, writer)
    finally:
        writer.close()


def statuses(answers: bytes) -> list[int]:
    """Return the status of each answer in ``answers``."""
    return [int(each.split(b" ", 1)[0]) for each in answers.split(b"HTTP/1.1 ")[1:]]
