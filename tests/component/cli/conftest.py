"""The real ops API over the real store, and a local Foundry, for commands to talk to."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from command_line import Outcome, begin
from component.cli.engineer import AS_USUAL, Engineer
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.cli.app import main
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from plain_logs import log_plainly
from unit.web.served import serving

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


@pytest.fixture
def serve(inside: Inside) -> Iterator[Callable[..., Outcome]]:
    """Run ``serve`` within this process, for troubles that keep it from starting; its logging ends with the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield partial(inside, "serve", "--project-endpoint", "http://127.0.0.1:9/api/projects/local")
    root.handlers[:] = handlers
    root.setLevel(level)
    log_plainly()


@dataclass(frozen=True)
class Service:
    """A served ops API, the store behind it, and two ways to run the command line against it."""

    store: SqlStore
    server: str
    folder: Path
    inside: Inside

    async def run(self, *args: str) -> Outcome:
        return await asyncio.to_thread(self.inside, "rollout", *args, "--server", self.server)

    async def run_as(self, *args: str) -> Outcome:
        """Run a command of another group than ``rollout``."""
        return await asyncio.to_thread(self.inside, *args, "--server", self.server)

    async def begin(self, *args: str) -> asyncio.subprocess.Process:
        return await begin("rollout", *args, folder=self.folder, FOUNDRY_ROLLOUTS_SERVER=self.server)


@pytest.fixture
async def service(store: SqlStore, services: Services, tmp_path: Path, inside: Inside) -> AsyncIterator[Service]:
    async with serving(services) as (url, _):
        yield Service(store, url, tmp_path, inside)


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


@pytest.fixture
def two_versions(engineer: Engineer) -> Engineer:
    """Version 1 repeats and has all the weight, version 2 says who it is."""
    engineer.an_image("a")
    engineer.an_image("a", "emulator://echo?reply=from+the+second")
    engineer.well("route", "a", "1=100")
    return engineer
