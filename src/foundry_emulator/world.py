"""One emulated cloud: its records, clock, compute and switches, put together."""

import asyncio
import random
import shutil
import sqlite3
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Literal

from foundry_emulator.clock import EmulatedClock
from foundry_emulator.compute import Compute, Patience
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_emulator.conversations import Conversations
from foundry_emulator.errors import EmulatorError
from foundry_emulator.faults import FaultBook
from foundry_emulator.prompt_agents import PromptModels
from foundry_emulator.records import AgentKey, SessionKey
from foundry_emulator.roles import Assignments
from foundry_emulator.sandboxes.factory import SandboxFactory
from foundry_emulator.sandboxes.images import Images
from foundry_emulator.snapshot import Snapshot
from foundry_emulator.state import State

_REMEMBERED_ANSWERS = 100_000

VersionOverride = Literal["obeys", "ignores", "falls-back", "absent"]


@dataclass(frozen=True, slots=True)
class PlannedFailure:
    """The error with which the next version of an agent will fail."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Switches:
    """How this cloud differs from a perfect one."""

    ignore_weights: bool = False  #: The heaviest version serves all new sessions.
    new_sessions_to: str | None = None  #: This version serves all new sessions, whatever the weights say.
    version_override: VersionOverride = "obeys"  #: What becomes of ``x-agent-version-override``.
    model_throttle_rate: float = 0.0  #: Share of calls that the model behind ``emulator://`` agents refuses.
    model_throttle_version: str | None = None  #: Only of this version; None: of all.
    routing_lag_seconds: float = 0.0
    swap_interrupts: bool = False  #: New sessions of ``@latest`` are refused while a newer release is in ``creating``.
    checks_layout: bool = True  #: A zip of the wrong layout fails its version, not its sessions.
    preview_invoke: bool = True  #: Agents can be called with the preview's api-version.
    drafts_enabled: bool = True
    lenient_routing: bool = False
    rebind_pinned: bool = False
    require_draft_opt_in: bool = False
    max_sessions: int | None = None
    principal_delay_seconds: float = 0.0
    arm_forbidden: bool = False

    def throttle_of(self, version: str) -> float:
        """Return the share of calls that the model behind this version refuses."""
        return self.model_throttle_rate if self.model_throttle_version in (None, version) else 0.0


class Bindings:
    """Which session answers for a response or an invocation; the oldest are forgotten."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, SessionKey] = OrderedDict()

    def bind(self, what: str, session: SessionKey) -> None:
        """Remember the session that answered."""
        self._sessions[what] = session
        if len(self._sessions) > _REMEMBERED_ANSWERS:
            self._sessions.popitem(last=False)

    def session(self, what: str) -> SessionKey | None:
        """Return the session that answered, or None."""
        return self._sessions.get(what)

    def clear(self) -> None:
        """Forget all bindings."""
        self._sessions.clear()


class World:
    """Everything that the routes act on."""

    def __init__(self, config: EmulatorConfig) -> None:
        self.config = config
        self.clock = EmulatedClock(config.clock_speed)
        self.random = random.Random(config.seed)  # noqa: S311 - the draw by weight is no secret
        self._snapshot = _snapshot(config)
        self.state = State(self._snapshot)
        self.conversations = Conversations(self._snapshot)
        self.roles = Assignments(self._snapshot)
        self.faults = FaultBook(self.random)
        self.lifecycle: Lifecycle = config.lifecycle
        self.switches = Switches()
        self.bindings = Bindings()
        self.planned_failures: dict[AgentKey, PlannedFailure] = {}
        self.factory = SandboxFactory(config.folder, config.stop_grace_seconds, self.clock, _images(config))
        self.factory.throttle_of = self._throttle_of
        self.models = PromptModels(self.clock, self._throttle_of)
        self.compute = Compute(self.state, self.clock, self.factory, _patience(config))
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Read the earlier run's records and begin to watch for idle sessions."""
        self.config.folder.mkdir(parents=True, exist_ok=True)
        for left_over in self.config.folder.glob("upload-*"):
            left_over.unlink()
        self.state.load()
        self.conversations.load()
        self.roles.load()
        self.spawn(self.compute.watch())

    async def stop(self) -> None:
        """End everything that runs and give up the scratch folder."""
        await self._quiet()
        await self.compute.close()
        self._snapshot.close()
        if self.config.state_dir is None:
            await asyncio.to_thread(shutil.rmtree, self.config.scratch, ignore_errors=True)

    async def reset(self) -> None:
        """Return to the state of a first start: no agents, no faults, the configured pace."""
        await self._quiet()
        await self.compute.forget_all()
        self.state.clear()
        self.conversations.clear()
        self.roles.clear()
        self.faults.clear()
        self.bindings.clear()
        self.models.clear()
        self.planned_failures.clear()
        self.lifecycle, self.switches = self.config.lifecycle, Switches()
        self.compute.patience = _patience(self.config)
        self.clock.run_at(self.config.clock_speed)
        self.random.seed(self.config.seed)
        for folder in ("builds", "homes"):
            await asyncio.to_thread(shutil.rmtree, self.config.folder / folder, ignore_errors=True)
        self.spawn(self.compute.watch())

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something beside the requests until the emulator stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _throttle_of(self, version: str) -> float:
        return self.switches.throttle_of(version)

    async def _quiet(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _images(config: EmulatorConfig) -> Images:
    images = Images(config.images)
    if images.missing_program:
        raise EmulatorError(f"{images.missing_program} is not installed: install it, or choose --images echo")
    return images


def _patience(config: EmulatorConfig) -> Patience:
    return Patience(config.readiness_seconds, config.call_seconds)


def _snapshot(config: EmulatorConfig) -> Snapshot:
    if config.state_dir is None:
        return Snapshot(None)
    try:
        config.folder.mkdir(parents=True, exist_ok=True)
        return Snapshot(config.folder / "state.db")
    except OSError as error:
        raise EmulatorError(f"cannot keep state in {config.state_dir}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise EmulatorError(
            f"cannot keep state in {config.state_dir}: {error}; is another emulator using it?"
        ) from error
