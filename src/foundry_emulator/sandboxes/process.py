"""An agent as a process of its own: started, awaited, called over HTTP, ended."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from foundry_emulator.logs import LogTail, Stream
from foundry_emulator.sandboxes.contract import (
    AgentAnswer,
    AgentCall,
    SandboxCrashedError,
    SandboxLostError,
)
from foundry_emulator.sandboxes.ports import PortPool

_POLL_SECONDS = 0.02
_PROBE_SECONDS = 1.0
_EXIT_NOTICE_SECONDS = 0.3
_LINE_BYTES = 1 << 20
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """What to start, where, with which environment and port, and how long it may take to stop."""

    command: list[str]
    folder: Path
    environment: dict[str, str]
    port: int
    ports: PortPool
    stop_grace_seconds: float
    afterwards: list[str] = field(default_factory=list)  #: A command that removes what the process left.


class ProcessSandbox:
    """One process of one session; its output is the session's log."""

    def __init__(self, plan: ProcessPlan, log: LogTail, client: httpx.AsyncClient) -> None:
        self._plan = plan
        self._log = log
        self._client = client
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._is_stopped = False
        self._base = f"http://127.0.0.1:{plan.port}"

    @property
    def is_alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id, or None before the start."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process in a group of its own, so that its children end with it."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._plan.command,
                cwd=self._plan.folder,
                env=self._plan.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=_LINE_BYTES,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SandboxCrashedError(f"{self._plan.command[0]}: {reason}") from error
        if self._is_stopped:
            _signal_group(self._process, signal.SIGKILL)
        streams: tuple[tuple[Stream, asyncio.StreamReader | None], ...] = (
            ("stdout", self._process.stdout),
            ("stderr", self._process.stderr),
        )
        self._readers = [asyncio.create_task(self._copy(name, reader)) for name, reader in streams if reader]

    async def become_ready(self) -> None:
        """Ask ``/readiness`` every 20 ms until it answers 200."""
        while not await _is_ready(self._plan.port):
            if not self.is_alive:
                await self._drain_output()
                raise SandboxCrashedError(f"the entry point exited with code {self._exit_code()}")
            await asyncio.sleep(_POLL_SECONDS)

    async def call(self, call: AgentCall) -> AgentAnswer:
        """Forward one request and return as soon as the answer's headers are there."""
        request = self._client.build_request(
            call.method,
            f"{self._base}{call.path}?{call.query}".rstrip("?"),
            headers=dict(call.headers),
            content=call.body,
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            await self._notice_exit()
            raise SandboxLostError(str(error) or type(error).__name__) from error
        return AgentAnswer(response.status_code, dict(response.headers), _chunks(response))

    async def stop(self) -> None:
        """Send SIGTERM to the group, and SIGKILL when the grace has passed."""
        self._is_stopped = True
        process = self._process
        self._plan.ports.release(self._plan.port)
        if process is None:
            return
        if process.returncode is None:
            _signal_group(process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self._plan.stop_grace_seconds)
            _signal_group(process, signal.SIGKILL)
        await process.wait()
        await self._drain_output()
        await self._clear_away()

    async def _clear_away(self) -> None:
        if self._plan.afterwards:
            with contextlib.suppress(OSError):
                silent = asyncio.subprocess.DEVNULL
                remover = await asyncio.create_subprocess_exec(*self._plan.afterwards, stdout=silent, stderr=silent)
                await remover.wait()

    def _exit_code(self) -> int | None:
        return self._process.returncode if self._process else None

    async def _notice_exit(self) -> None:
        # A connection breaks before the system reports the death, and until then the sandbox would pass for alive.
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _EXIT_NOTICE_SECONDS)

    async def _drain_output(self) -> None:
        # A grandchild that left the group could hold the pipes open, so the readers get a moment, not for ever.
        if self._readers:
            _, pending = await asyncio.wait(self._readers, timeout=0.5)
            for reader in pending:
                reader.cancel()

    async def _copy(self, stream: Stream, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                continue
            if not line:
                return
            self._log.write(stream, line.decode(errors="replace").rstrip("\r\n"))


def _signal_group(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _is_ready(port: int) -> bool:
    # A plain socket, because a pooled client costs ten times as much and this is asked fifty times a second.
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /readiness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return await _status_of(reader) == b"200"
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    return False


async def _status_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    # Hanging up on an unread body would break the agent's pipe, and its complaint would stand in the session's log.
    await (reader.readexactly(int(length[1])) if length else reader.read())
    return head.split(maxsplit=2)[1]


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx.HTTPError as error:
        raise SandboxLostError(str(error) or type(error).__name__) from error
    finally:
        await response.aclose()
