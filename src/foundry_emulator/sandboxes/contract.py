"""What the platform asks of a sandbox, whatever runs inside it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class SandboxCrashedError(Exception):
    """The agent's entry point exited before it was ready."""


class SandboxLostError(Exception):
    """The agent went away, or spoke no HTTP, in the middle of a call."""


@dataclass(frozen=True, slots=True)
class AgentCall:
    """One request as the container sees it; ``path`` is ``/responses`` or ``/invocations`` and what follows."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class AgentAnswer:
    """The container's answer; the body arrives in chunks and must be read to its end or closed."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Sandbox(Protocol):
    """The compute of one session."""

    @property
    def is_alive(self) -> bool:
        """Tell whether the agent still runs."""

    @property
    def pid(self) -> int | None:
        """The process, or None for behaviours that run in the emulator itself."""

    async def start(self) -> None:
        """Begin to start the agent; raise ``SandboxCrashedError`` when it cannot even begin."""

    async def become_ready(self) -> None:
        """Wait until ``/readiness`` answers 200; raise ``SandboxCrashedError`` when the agent exits instead."""

    async def call(self, call: AgentCall) -> AgentAnswer:
        """Forward one request; raise ``SandboxLostError`` when no answer comes."""

    async def stop(self) -> None:
        """End the agent; may be called at any time, and twice."""
