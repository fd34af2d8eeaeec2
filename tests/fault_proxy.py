"""A TCP proxy that misbehaves as it is told: slow, reset, cut short, silent, or away."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from answering import shut

#: Closing with this option sends a reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)


class Ending(StrEnum):
    """How a connection goes wrong."""

    RESET = "reset"
    TRUNCATE = "truncate"  #: An orderly end in the midst of an answer.
    SILENCE = "silence"  #: A black hole: the connection stays, and nothing comes any more.


@dataclass(frozen=True, slots=True)
class Fate:
    """What one connection meets: each answer is late by ``latency`` seconds; after ``after`` bytes comes ``ending``."""

    latency: float = 0
    after: int | None = None
    ending: Ending = Ending.RESET


CALM = Fate()


@dataclass
class FaultProxy:
    """Hands bytes on to ``target``, a port on loopback or a Unix socket; ``fate`` is asked for each connection."""

    target: int | Path
    fate: Callable[[], Fate] = lambda: CALM
    port: int = 0
    is_away: bool = False
    connections: int = 0
    faults: int = 0
    seen: dict[bytes, int] = field(default_factory=dict)  #: How often each of these words was sent to the target.
    _sound: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._sound.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Reset every connection, and each new one, until ``restore``."""
        self.is_away = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def hush(self) -> None:
        """Keep every connection and hand nothing on until ``restore``: a black hole."""
        self._sound.clear()

    def restore(self) -> None:
        self.is_away = False
        self._sound.set()

    async def close(self) -> None:
        if self._server:
            await shut(self._server)
        await self.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own may be cancelled without asyncio's server taking notice.
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there: asyncio.StreamWriter | None = None
        try:
            if not self.is_away:
                back, there = await self._reach()
                ways = [
                    asyncio.create_task(self._pump(reader, there, CALM, is_counted=True)),
                    asyncio.create_task(self._pump(back, writer, self.fate())),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.wait(ways)
            else:
                _reset(writer)
        except OSError:
            _reset(writer)
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            for end in (writer, there):
                if end is not None:
                    end.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, Path):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection("127.0.0.1", self.target)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fate: Fate, *, is_counted: bool = False
    ) -> None:
        left = fate.after
        with suppress(OSError):
            while data := await reader.read(65536):
                if is_counted:
                    for word in self.seen:
                        self.seen[word] += data.count(word)
                await self._sound.wait()
                if fate.latency:
                    await asyncio.sleep(fate.latency)
                if left is not None and (left := left - len(data)) < 0:
                    await self._go_wrong(reader, writer, data[:left], fate.ending)
                    return
                writer.write(data)
                await writer.drain()

    async def _go_wrong(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes, ending: Ending
    ) -> None:
        self.faults += 1
        if ending is Ending.RESET:
            _reset(writer)
            return
        writer.write(data)
        await writer.drain()
        while ending is Ending.SILENCE and await reader.read(65536):
            pass


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
