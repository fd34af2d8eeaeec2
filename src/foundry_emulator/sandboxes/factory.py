"""Builds the sandbox a session needs: a process for source code, a behaviour or a container for an image."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from foundry_emulator.clock import EmulatedClock
from foundry_emulator.definitions import image_of, protocols_of
from foundry_emulator.ids import guid
from foundry_emulator.logs import LogTail
from foundry_emulator.records import AgentRecord, SessionRecord, VersionRecord
from foundry_emulator.sandboxes.builtin import BuiltinPlan, BuiltinSandbox
from foundry_emulator.sandboxes.contract import Sandbox
from foundry_emulator.sandboxes.engines import Container, Engine
from foundry_emulator.sandboxes.environment import Surroundings, environment_of
from foundry_emulator.sandboxes.images import Images
from foundry_emulator.sandboxes.launch import BuildFolder, command_of, leashed
from foundry_emulator.sandboxes.ports import PortPool
from foundry_emulator.sandboxes.process import ProcessPlan, ProcessSandbox


@dataclass(frozen=True, slots=True)
class Tenancy:
    """Whose sandbox is to be built."""

    agent: AgentRecord
    version: VersionRecord
    session: SessionRecord


class SandboxFactory:
    """Builds sandboxes; all processes share one HTTP client and one pool of ports."""

    def __init__(self, folder: Path, stop_grace_seconds: float, clock: EmulatedClock, images: Images) -> None:
        self.base_url = "http://127.0.0.1:8090"
        self.images = images
        self._folder = folder
        self._stop_grace_seconds = stop_grace_seconds
        self._clock = clock
        self._ports = PortPool()
        # A connection kept alive would occupy an agent that serves one connection at a time.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)  # noqa: S113 - compute limits calls
        # How much of a version's calls its model refuses is a matter of switches, given from outside.
        self.throttle_of: Callable[[str], float] = lambda _version: 0.0
        self._dice: dict[tuple[str, str], random.Random] = {}

    def build(self, whose: Tenancy, log: LogTail) -> Sandbox:
        """Return a sandbox that was not started yet."""
        image = image_of(whose.version.definition)
        if image is None:
            return ProcessSandbox(self._process_plan(whose), log, self._client)
        if self.images.engine is not None and self.images.runs_in_container(image):
            return ProcessSandbox(self._container_plan(whose, image, self.images.engine), log, self._client)
        behaviour = self.images.behaviour(image)
        # Sessions share the version's dice: with a seed each, every session would throw the same first number.
        dice = self._dice.setdefault((whose.agent.guid, whose.version.version), behaviour.dice())
        protocols = tuple(protocols_of(whose.version.definition))
        version = whose.version.version
        plan = BuiltinPlan(behaviour, dice, protocols, throttle=lambda: self.throttle_of(version))
        return BuiltinSandbox(plan, log, self._clock)

    def build_folder(self, guid: str, version: str) -> BuildFolder:
        """Return the folder of one version's code."""
        return BuildFolder(self._folder / "builds" / guid / version)

    def home(self, guid: str, session_id: str) -> Path:
        """Return the home folder of one session, which outlives its sandboxes."""
        return self._folder / "homes" / guid / session_id

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._client.aclose()

    def _process_plan(self, whose: Tenancy) -> ProcessPlan:
        build, where, port = self._place(whose)
        return ProcessPlan(
            command=leashed(command_of(whose.version, build)),
            folder=build.app,
            environment=environment_of(where, port, build.packages),
            port=port,
            ports=self._ports,
            stop_grace_seconds=self._stop_grace_seconds,
        )

    def _container_plan(self, whose: Tenancy, image: str, engine: Engine) -> ProcessPlan:
        build, where, port = self._place(whose)
        container = Container(f"foundry-{guid()}", image, environment_of(where, port, None), where.home)
        return ProcessPlan(
            command=leashed(engine.start(container, build.root)),
            folder=where.home,
            environment=dict(os.environ),
            port=port,
            ports=self._ports,
            stop_grace_seconds=self._stop_grace_seconds,
            afterwards=engine.remove(container.name),
        )

    def _place(self, whose: Tenancy) -> tuple[BuildFolder, Surroundings, int]:
        home = self.home(whose.agent.guid, whose.session.key.id)
        home.mkdir(parents=True, exist_ok=True)
        where = Surroundings(whose.agent, whose.version, whose.session, home, self.base_url)
        return self.build_folder(whose.agent.guid, whose.version.version), where, self._ports.take()
