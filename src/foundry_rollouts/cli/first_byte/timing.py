"""Asks a service again and again on one connection, and takes the time until the first byte of the answer."""

import asyncio
import re
import time
from dataclasses import dataclass

from foundry_rollouts.errors import RolloutsError

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """How long one answer took, in seconds: until its first byte, and of the processor until its last."""

    first_byte: float
    processor: float


async def ask(port: int, path: str, times: int) -> list[Answer]:
    """Ask for ``path`` so often, one after the other. Raises RolloutsError where the answer is not 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return [await _ask(reader, writer, path) for _ in range(times)]
    finally:
        writer.close()
        await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> Answer:
    worked, began = time.process_time(), time.perf_counter()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n".encode())
    first = await reader.readexactly(1)
    came = time.perf_counter()
    head = first + await reader.readuntil(_END)
    status, length = head.split(b" ", 2)[1], _LENGTH.search(head)
    if status != b"200" or length is None:
        raise RolloutsError(f"the service answered {path} with {head.splitlines()[0].decode(errors='replace')}")
    await reader.readexactly(int(length[1]))
    return Answer(came - began, time.process_time() - worked)
