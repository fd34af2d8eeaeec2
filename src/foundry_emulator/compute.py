"""Compute: starts a sandbox when a session needs one, forwards calls to it, releases it when it is idle.

A session has at most one sandbox. Its birth is a task of its own, so a caller who gave up waiting (424) leaves a
session that still becomes ready, and a hundred callers of one sleeping session wake it once.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from foundry_emulator.clock import EmulatedClock
from foundry_emulator.definitions import idle_seconds_of
from foundry_emulator.errors import RESPONSE_DETAILS, FoundryError, session_not_found
from foundry_emulator.logs import LogTail
from foundry_emulator.records import AgentKey, SessionKey, SessionRecord, SessionStatus
from foundry_emulator.sandboxes.contract import (
    AgentAnswer,
    AgentCall,
    Sandbox,
    SandboxCrashedError,
    SandboxLostError,
)
from foundry_emulator.sandboxes.factory import SandboxFactory, Tenancy
from foundry_emulator.state import State

_WATCH_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a sandbox may take to become ready and to answer: real seconds, for agents run in real time."""

    readiness_seconds: float
    call_seconds: float


@dataclass(slots=True)
class Slot:
    """What runs for one session: its log, its sandbox while it has one, and its calls in flight."""

    log: LogTail
    sandbox: Sandbox | None = None
    birth: asyncio.Task[SandboxCrashedError | None] | None = None
    in_flight: int = 0

    @property
    def is_live(self) -> bool:
        """Tell whether the sandbox runs or is about to."""
        is_being_born = self.birth is not None and not self.birth.done()
        return is_being_born or (self.sandbox is not None and self.sandbox.is_alive)


class Compute:
    """The sandboxes of all sessions."""

    def __init__(self, state: State, clock: EmulatedClock, factory: SandboxFactory, patience: Patience) -> None:
        self._state = state
        self._clock = clock
        self._factory = factory
        self.patience = patience
        self._slots: dict[SessionKey, Slot] = {}
        # Which version a session runs when it wakes is a matter of routing, given from outside.
        self.version_on_resume: Callable[[SessionRecord], str] = lambda session: session.version

    async def awaken(self, key: SessionKey) -> Slot:
        """Return the session's slot with a ready sandbox; 424 when it is not ready in time, 500 when it crashed."""
        slot = self._slots.setdefault(key, Slot(LogTail(self._clock)))
        birth = slot.birth if slot.birth is not None and slot.is_live else self._conceive(key, slot)
        done, _ = await asyncio.wait({birth}, timeout=self.patience.readiness_seconds)
        headers = {"x-agent-session-id": key.id}
        if not done:
            message = f"Session '{key.id}' did not become ready within the expected timeout."
            raise FoundryError(424, "session_not_ready", message, headers=headers)
        crash = birth.result()
        if crash is not None:
            message = f"Session '{key.id}' could not be created: {crash}."
            raise FoundryError(500, "session_creation_failed", message, headers=headers)
        return slot

    async def call(self, key: SessionKey, call: AgentCall) -> AgentAnswer:
        """Forward one call to the session's sandbox, waking it first; its body must be read or closed."""
        slot = await self.awaken(key)
        if slot.sandbox is None:
            raise session_not_found(key.id)
        self._state.touch_session(key, self._clock.now())
        slot.in_flight += 1
        try:
            async with asyncio.timeout(self.patience.call_seconds):
                answer = await slot.sandbox.call(call)
        except TimeoutError as error:
            slot.in_flight -= 1
            raise _lost(504, "ProxyTimeout", "The agent did not answer in time.", key) from error
        except SandboxLostError as error:
            slot.in_flight -= 1
            raise _lost(502, "SandboxIdle", f"The sandbox went away: {error}.", key) from error
        return replace(answer, chunks=self._counted(key, slot, answer.chunks))

    async def release(self, key: SessionKey, status: SessionStatus = "idle") -> None:
        """End the session's sandbox and keep its files; without a sandbox nothing happens."""
        slot = self._slots.get(key)
        if slot is None or slot.sandbox is None:
            return
        sandbox, slot.sandbox, slot.birth = slot.sandbox, None, None
        session = self._state.session(key)
        if session is not None:
            self._state.put_session(replace(session, status=status, stopped_at=self._clock.now()))
        await sandbox.stop()
        if slot.sandbox is None:
            slot.log.close()

    async def forget(self, key: SessionKey) -> None:
        """End the session's sandbox, its log and its files."""
        await self.release(key)
        slot = self._slots.pop(key, None)
        if slot is not None:
            slot.log.close()
        home = self._factory.home(self._state.agent(key.agent).guid, key.id)
        if home.exists():
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)

    async def drain(self, agent: AgentKey) -> None:
        """Release the sandboxes of a disabled agent, each as soon as its calls in flight are done."""
        while keys := self._draining(agent):
            await asyncio.gather(*(self.release(key) for key in keys if not self._slots[key].in_flight))
            await asyncio.sleep(_WATCH_SECONDS / 4)

    async def forget_all(self) -> None:
        """End every sandbox."""
        keys = list(self._slots)
        births = [slot.birth for slot in self._slots.values() if slot.birth is not None]
        await asyncio.gather(*(self.release(key) for key in keys))
        await asyncio.gather(*births)
        for slot in self._slots.values():
            slot.log.close()
        self._slots.clear()

    async def close(self) -> None:
        """End every sandbox, for good."""
        await self.forget_all()
        await self._factory.close()

    def log_of(self, key: SessionKey) -> LogTail | None:
        """Return the session's log, or None when it never had a sandbox."""
        slot = self._slots.get(key)
        return slot.log if slot else None

    def live(self) -> list[tuple[SessionKey, int | None, int]]:
        """Return each session with a sandbox, its process id if it has one, and its calls in flight."""
        return [(key, s.sandbox.pid, s.in_flight) for key, s in self._slots.items() if s.is_live and s.sandbox]

    async def watch(self) -> None:
        """Release the sandboxes of idle sessions, and bury those whose process ended by itself."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = self._clock.now()
            tired = [key for key, slot in self._slots.items() if slot.sandbox and self._is_tired(key, slot, now)]
            await asyncio.gather(*(self.release(key) for key in tired))

    def _draining(self, agent: AgentKey) -> list[SessionKey]:
        if not self._state.has_agent(agent) or self._state.agent(agent).is_open:
            return []
        return [key for key, slot in self._slots.items() if key.agent == agent and slot.is_live]

    def _is_tired(self, key: SessionKey, slot: Slot, now: float) -> bool:
        if not slot.is_live:
            slot.log.write("status", "The container exited.")
            return True
        session = self._state.session(key)
        if session is None or slot.in_flight or session.status != "active":
            return False
        version = self._state.version(key.agent, session.version)
        return now - session.last_accessed_at >= idle_seconds_of(version.definition)

    def _conceive(self, key: SessionKey, slot: Slot) -> asyncio.Task[SandboxCrashedError | None]:
        session = self._state.session(key)
        if session is None:
            raise session_not_found(key.id)
        session = self._bound(session)
        tenancy = Tenancy(self._state.agent(key.agent), self._state.version(key.agent, session.version), session)
        earlier, slot.sandbox = slot.sandbox, self._factory.build(tenancy, slot.log)
        slot.birth = asyncio.create_task(self._bear(key, slot, slot.sandbox, earlier))
        return slot.birth

    def _bound(self, session: SessionRecord) -> SessionRecord:
        version = session.version if session.status == "creating" else self.version_on_resume(session)
        now = self._clock.now()
        return self._state.put_session(replace(session, version=version, status="creating", last_accessed_at=now))

    async def _bear(
        self, key: SessionKey, slot: Slot, sandbox: Sandbox, earlier: Sandbox | None
    ) -> SandboxCrashedError | None:
        if earlier is not None:
            await earlier.stop()
        slot.log.reopen()
        slot.log.write("status", "Connecting to the container 'agent-container'...")
        try:
            await sandbox.start()
            slot.log.write("status", "Successfully connected to container")
            await sandbox.become_ready()
        except SandboxCrashedError as crash:
            slot.log.write("status", f"The container failed: {crash}")
            await sandbox.stop()
            self._settle(key, slot, sandbox, "failed")
            return crash
        self._settle(key, slot, sandbox, "active")
        return None

    def _settle(self, key: SessionKey, slot: Slot, sandbox: Sandbox, status: SessionStatus) -> None:
        session = self._state.session(key)
        # A session that was stopped or woken again meanwhile has another sandbox, and another story.
        if session is None or slot.sandbox is not sandbox:
            return
        self._state.put_session(replace(session, status=status))
        if status == "failed":
            slot.sandbox = None
            slot.log.close()

    async def _counted(self, key: SessionKey, slot: Slot, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            slot.in_flight -= 1
            self._state.touch_session(key, self._clock.now())


def _lost(status: int, details: str, message: str, key: SessionKey) -> FoundryError:
    headers = {RESPONSE_DETAILS: details, "x-agent-session-id": key.id}
    return FoundryError(status, "server_error", message, headers=headers)
