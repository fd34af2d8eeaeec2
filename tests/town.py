"""What scenario tests are told in: deploy, start the controller, wait until, look at the history."""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from foundry_rollouts.cli.demo.stage import Stage
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Code, Definition
from foundry_rollouts.foundry.packaging import pack
from patience import PATIENCE

AGENT = "support-agent"
PROTOCOLS = {"responses": "2.0.0", "invocations": "2.0.0"}

#: The product's rules with a coarse bad line, so that proof takes seconds.
POLICY = """
name: support
agents: ["support-*"]
steps:
  - {weight: 10, min: 1s}
  - {weight: 50, min: 1s}
  - {weight: 100, min: 1s}
judge: {bad: 3x + 20pp}
sources:
  probe: {every: 100ms, pairs: 2}
  logs: {}
gates:
  - error-rate: {sources: [probe, logs], max: 20%}
"""


@dataclass(slots=True)
class Town:
    """One Foundry with its controller."""

    folder: Path
    stage: Stage = field(init=False)
    settings: dict[str, str] = field(default_factory=dict)  #: What the controller is told beside what the stage tells.
    http: httpx.AsyncClient = field(init=False)
    _cloud: FoundryClient | None = None

    def __post_init__(self) -> None:
        self.stage = Stage(self.folder, usual_port=0)
        self.http = httpx.AsyncClient(timeout=PATIENCE)

    # --- deeds

    async def control(self, policy: str = POLICY, *, ready: bool = True) -> None:
        """Start the controller, or start it again, and wait until it is ready, or at least alive."""
        path = self.folder / "policy.yaml"
        path.write_text(policy, "utf-8")
        await self.stage.start_controller(path, "readyz" if ready else "healthz", **self.settings)

    async def kill_controller(self) -> None:
        """End the controller without a word, as the kernel would."""
        process = self.stage.processes.pop()
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def image(self, image: str) -> str:
        """Create a version of a built-in behaviour; return its number, active or not."""
        made = await self.cloud.api.versions.create(AGENT, Definition(image=image, protocols=PROTOCOLS))
        return made.version.version

    async def source(self, folder: Path, **behaviour: Any) -> str:
        """Deploy an agent's source with ``behaviour.json`` beside it."""
        shutil.copytree(folder, self.folder / "agent", dirs_exist_ok=True)
        (self.folder / "agent" / "behaviour.json").write_text(json.dumps(behaviour), "utf-8")
        definition = Definition(code=Code(), protocols=PROTOCOLS)
        made = await self.cloud.api.deploy.upload(AGENT, pack(self.folder / "agent"), definition)
        return made.version.version

    async def a_stable_version(self, image: str = "emulator://echo") -> None:
        """Create version 1, start the controller, wait until it pinned the endpoint."""
        await self.image(image)
        await self.control()
        await self.until_pinned("1")

    # --- looks

    @property
    def cloud(self) -> FoundryClient:
        self._cloud = self._cloud or FoundryClient(self.stage.endpoint, FixedToken())
        return self._cloud

    async def weights(self) -> dict[str, int]:
        return dict((await self.cloud.agent(AGENT)).routing.weights)

    async def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        url = f"{self.stage.server}{path}"
        answer = await (self.http.get(url) if body is None else self.http.post(url, json=body))
        return answer.raise_for_status().json()

    async def emulate(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Ask the emulator's control API for something."""
        answer = await self.http.request(method, f"{self.stage.emulator}/_emulator{path}", json=body)
        answer.raise_for_status()

    async def rollout(self, canary: str = "2") -> dict[str, Any] | None:
        items = (await self.api(f"/api/v1/rollouts?agent={AGENT}"))["items"]
        return next((item for item in items if item["canary"] == canary), None)

    async def history(self, canary: str = "2") -> list[dict[str, Any]]:
        rollout = await self.rollout(canary)
        assert rollout is not None
        events: list[dict[str, Any]] = (await self.api(f"/api/v1/rollouts/{rollout['id']}/events"))["items"]
        return events

    async def kinds(self, canary: str = "2") -> list[str]:
        """Return the kinds of the history's events, without their common beginning."""
        return [event["kind"].removeprefix("rollout.") for event in await self.history(canary)]

    async def listed(self) -> str:
        """Return what ``rollout list`` says, as JSON."""
        words = ("rollout", "list", "--server", self.stage.server, "--output", "json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "foundry_rollouts", *words, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return said.decode()

    async def until(self, read: Callable[[], Awaitable[Any]], patience: float = PATIENCE) -> Any:
        """Look until there is something to see; fail with the controller's last words after a while."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if seen := await read():
                return seen
            await asyncio.sleep(0.05)
        words = (self.folder / "controller.log").read_text("utf-8").splitlines()[-12:]
        pytest.fail("\n".join(["waited in vain; the controller's last words:", *words]))

    async def until_phase(self, phase: str, canary: str = "2", patience: float = PATIENCE) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            rollout = await self.rollout(canary)
            return rollout if rollout and rollout["phase"] == phase else None

        seen: dict[str, Any] = await self.until(look, patience)
        return seen

    async def until_step(self, step: int, canary: str = "2") -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            rollout = await self.rollout(canary)
            return rollout if rollout and rollout["step"] >= step else None

        seen: dict[str, Any] = await self.until(look)
        return seen

    async def until_pinned(self, version: str) -> None:
        async def look() -> bool:
            agents = (await self.api("/api/v1/agents"))["items"]
            return any(agent["stable"] == version for agent in agents) and await self.weights() == {version: 100}

        await self.until(look)

    async def for_a_while(self, read: Callable[[], Awaitable[bool]], span: timedelta) -> None:
        """Assert that something stays so."""
        end = time.monotonic() + span.total_seconds()
        while time.monotonic() < end:
            assert await read()
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        await self.http.aclose()
        if self._cloud:
            await self._cloud.aclose()
        await self.stage.stop()
