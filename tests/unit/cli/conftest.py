"""The real ops API over the real store, and a local Foundry, for commands to talk to."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import uvicorn

from builders import NOON
from fakes import FakeHealth, FakePolicies, FakeWake, a_store
from foundry_rollouts.cli.app import main
from foundry_rollouts.emulator.background import running
from foundry_rollouts.emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.services import Services
from unit.cli.command_line import Outcome, begin
from unit.cli.engineer import AS_USUAL, Engineer

Inside = Callable[..., Outcome]


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Run the command line within this process, in an empty folder with no variable of ours set."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("FOUNDRY_"):
            monkeypatch.delenv(name)

    def run(*args: str) -> Outcome:
        code = main(args)
        return Outcome(code, *capsys.readouterr())

    return run


@dataclass(frozen=True)
class Service:
    """A served ops API, the store behind it, and two ways to run the command line against it."""

    store: SqlStore
    server: str
    folder: Path
    inside: Inside

    async def run(self, *args: str) -> Outcome:
        return await asyncio.to_thread(self.inside, "rollout", *args, "--server", self.server)

    async def begin(self, *args: str) -> asyncio.subprocess.Process:
        return await begin("rollout", *args, folder=self.folder, FOUNDRY_ROLLOUTS_SERVER=self.server)


@asynccontextmanager
async def serving(services: Services, port: int = 0) -> AsyncIterator[str]:
    """Serve the app on a port of the loopback address and yield where."""
    config = uvicorn.Config(create_app(services), log_config=None, lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", port)) as listening:
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            services.stop.set()
            server.should_exit = True
            await task


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with a_store(tmp_path) as store:
        yield Services(
            store=store,
            policies=FakePolicies(),
            health=FakeHealth(),
            metrics=Metrics("1.2.3"),
            wake=FakeWake(),
            now=lambda: NOON,
            stop=asyncio.Event(),
            look_every=timedelta(milliseconds=10),
        )


@pytest.fixture
async def service(services: Services, tmp_path: Path, inside: Inside) -> AsyncIterator[Service]:
    store = services.store
    assert isinstance(store, SqlStore)
    async with serving(services) as server:
        yield Service(store, server, tmp_path, inside)


@pytest.fixture(scope="session")
def local_foundry() -> Iterator[str]:
    """Serve a local Foundry beside the tests, whose versions become active at once."""
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"))) as base_url:
        yield base_url


@pytest.fixture
def engineer(local_foundry: str, inside: Inside, tmp_path: Path) -> Iterator[Engineer]:
    """Give a release engineer with an empty project."""
    with httpx.Client(base_url=f"{local_foundry}/_emulator") as control:
        yield Engineer(local_foundry, inside, tmp_path, control)
        control.delete("/faults")
        control.patch("/switches", json=AS_USUAL)
