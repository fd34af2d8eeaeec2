"""Harm is answered when it is seen, not when the next tick comes: the whole service in this process, a slow tick."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts import clock
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.policies.folder import PolicyFolder
from foundry_rollouts.settings import Settings
from foundry_rollouts.store.schema import upgrade
from foundry_rollouts.web.app import create_app
from foundry_rollouts.wiring import built
from patience import PATIENCE

AGENT = "support-agent"
PROTOCOLS = {"responses": "2.0.0", "invocations": "2.0.0"}
POLICY = """
name: support
agents: ["support-*"]
steps: [{weight: 50, min: 10m}, {weight: 100}]
judge: {bad: 3x + 20pp}
sources: {SOURCES}
gates: [error-rate: {}]
"""
#: Much longer than anybody waits here: what happens did not wait for a tick.
TICK = 3600.0


@dataclass
class Service:
    """The running service, its API, and the cloud it works on."""

    cloud: FoundryClient
    api: httpx.AsyncClient

    async def weights(self) -> dict[str, int]:
        return dict((await self.cloud.agent(AGENT)).routing.weights)

    async def until(self, read: Callable[[], Awaitable[bool]]) -> None:
        """Wait until ``read`` says so."""
        async with asyncio.timeout(PATIENCE):
            while not await read():  # noqa: ASYNC110 - the cloud rings no bell
                await asyncio.sleep(0.01)

    async def until_weights(self, **weights: int) -> None:
        async def are_so() -> bool:
            return await self.weights() == {name.strip("v"): weight for name, weight in weights.items()}

        await self.until(are_so)

    async def create(self, image: str) -> None:
        await self.cloud.api.versions.create(AGENT, Definition(image=image, protocols=PROTOCOLS))

    async def because(self) -> str:
        """Wait until the rollback is recorded; return its sentence."""
        told: list[str] = []

        async def is_recorded() -> bool:
            found = (await self.api.get("/api/v1/rollouts")).json()["items"][0]
            told.append(found["because"])
            return bool(found["phase"] == "rolled_back")

        await self.until(is_recorded)
        return told[-1]


@pytest.fixture
def foundry() -> Iterator[str]:
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), seed=3)) as url:
        yield f"{url}/api/projects/local"


@asynccontextmanager
async def serving(
    foundry: str, folder: Path, sources: str, canary: str = "emulator://echo?error_rate=1"
) -> AsyncIterator[Service]:
    """Run the service; version 1 is stable, and version 2, which is bad, has half of the new sessions."""
    (folder / "policy.yaml").write_text(POLICY.replace("{SOURCES}", sources), "utf-8")
    settings = Settings(
        project_endpoint=foundry,
        credential="emulator",
        database_url=f"sqlite:///{folder / 'history.db'}",
        policies=folder / "policy.yaml",
        tick_seconds=TICK,
        discovery_seconds=1,
    )
    await upgrade(settings.database_url)
    stop = asyncio.Event()
    async with (
        FoundryClient(foundry, FixedToken()) as cloud,
        built(settings, PolicyFolder(settings.policies), stop) as parts,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(parts.services)), base_url="http://127.0.0.1:8080"
        ) as api,
    ):
        service = Service(cloud, api)
        await service.create("emulator://echo")
        parts.scheduler.start()
        try:
            await service.until_weights(v1=100)
            await service.create(canary)
            await service.until_weights(v1=50, v2=50)
            yield service
        finally:
            await parts.scheduler.stop()


async def test_reported_outcomes_that_decide_are_answered_before_the_next_tick(foundry: str, tmp_path: Path) -> None:
    async with serving(foundry, tmp_path, "{outcomes: {}}") as service:
        at = clock.now().isoformat()
        outcomes = [
            {"id": f"{version}-{number}", "agent": AGENT, "version": version, "at": at, "ok": version == "1"}
            for version in ("1", "2")
            for number in range(15)
        ]
        answer = await service.api.post("/api/v1/outcomes", json={"outcomes": outcomes})
        assert answer.json()["accepted"] == 30
        await service.until_weights(v1=100)
        assert "canary 15 of 15 failed (reported as failed) against 0 of 15 on stable" in await service.because()


#: Calls of one session fail together, so that each of these is one piece of evidence.
CONVERSATIONS = [(version, f"conversation-{version}-{number}") for number in range(15) for version in ("1", "2")]


async def are_followed() -> bool:
    followed = {task.get_name() for task in asyncio.all_tasks()}
    return {f"log of {session}" for _, session in CONVERSATIONS} <= followed


async def test_failing_log_lines_that_decide_are_answered_before_the_next_tick(foundry: str, tmp_path: Path) -> None:
    async with serving(foundry, tmp_path, "{logs: {}}") as service:
        for version, session in CONVERSATIONS:
            await service.cloud.open_session(AGENT, version, session)
        # Sessions are looked for now and then; what is measured is what comes after they are followed.
        await service.until(are_followed)
        for _, session in CONVERSATIONS:
            if await service.weights() == {"1": 100}:
                break
            await service.cloud.ask(AGENT, session, "hello", timedelta(seconds=10))
        await service.until_weights(v1=100)
        assert "seen by logs" in await service.because()


async def test_wrong_answers_of_the_probe_are_answered_before_the_next_tick(foundry: str, tmp_path: Path) -> None:
    async with serving(foundry, tmp_path, "{probe: {every: 100ms}}") as service:
        await service.until_weights(v1=100)
        assert "seen by probe" in await service.because()


async def test_wrong_words_inside_http_200_are_caught_by_what_the_probe_expects(foundry: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.yaml").write_text('- {name: hours, input: "open at 9", expect: {contains: "9"}}\n', "utf-8")
    sources = "{probe: {every: 100ms, prompts: prompts.yaml}, logs: {}}"
    async with serving(foundry, tmp_path, sources, canary="emulator://echo?reply=nothing") as service:
        await service.until_weights(v1=100)
        assert "failed (expected text missing)" in await service.because()
