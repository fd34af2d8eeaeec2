"""The processes of one measurement: a light Foundry, and services on one database."""

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from foundry_rollouts.cli.demo.stage import free_port
from foundry_rollouts.cli.scale.cloud import CONTROL
from foundry_rollouts.cli.scale.crowd import POLICY
from foundry_rollouts.cli.scale.wire import PROJECT
from foundry_rollouts.errors import RolloutsError

PATIENCE = 240.0  #: Seconds that a process may take until it answers, or ends.
WRITTEN = 0.02  #: Seconds between two reads of a file of figures.
_LAG = re.compile(r'^foundry_rollouts_tick_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a service's ``/metrics`` says, and how long it took to say it."""

    seconds: float
    series: int
    lags: dict[float, float]  #: How many ticks were at most so late, in seconds.

    @property
    def ticks(self) -> float:
        return max(self.lags.values(), default=0.0)


def scrape_of(text: str, seconds: float) -> Scrape:
    """Return what metrics in Prometheus's text format say."""
    series = sum(1 for line in text.splitlines() if line and not line.startswith("#"))
    return Scrape(seconds, series, {float(most): float(count) for most, count in _LAG.findall(text)})


@dataclass(frozen=True, slots=True)
class Service:
    """One replica, and where it leaves its figures."""

    name: str
    port: int
    process: asyncio.subprocess.Process
    figures: Path
    profile: Path
    begun: float

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def newest(self) -> dict[str, float]:
        """Return its figures as of now: the next line that it writes."""
        asked = time.monotonic()
        for _ in range(int(PATIENCE / WRITTEN)):
            if (last := self._last()) is not None and last["at"] >= asked:
                return last
            await asyncio.sleep(WRITTEN)
        raise RolloutsError(f"{self.name} wrote no figures for {PATIENCE:g} s: its loop stands still, or it ended")

    def since(self, moment: float) -> list[dict[str, float]]:
        """Return its figures from a moment of the machine's clock on."""
        lines = self.figures.read_text("utf-8").rpartition("\n")[0].splitlines()
        read: list[dict[str, float]] = [json.loads(line) for line in lines]
        return [each for each in read if each["at"] >= moment]

    def _last(self) -> dict[str, float] | None:
        """Return the last line that is whole."""
        with self.figures.open("rb") as file:
            file.seek(max(0, self.figures.stat().st_size - 4096))
            lines = file.read().rpartition(b"\n")[0].splitlines()
        read: dict[str, float] | None = json.loads(lines[-1]) if lines else None
        return read

    def profiled(self) -> dict[str, Any]:
        """Return where its processor time went, once it has ended."""
        if not self.profile.exists():
            return {"samples": 0, "own": [], "within": []}
        found: dict[str, Any] = json.loads(self.profile.read_text("utf-8"))
        return found


@dataclass(slots=True)
class Stage:
    """Everything that runs; ``folder`` holds logs, figures and the policy."""

    folder: Path
    database: str
    cadence: float = 30.0
    cloud_ms: float = 0.0  #: How long the cloud takes over each answer.
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=PATIENCE, trust_env=False))
    cloud: str = ""
    _running: list[asyncio.subprocess.Process] = field(default_factory=list)
    _born: int = 0

    @property
    def policy(self) -> Path:
        """The file of the policy, written when it is first asked for."""
        path = self.folder / "policy.yaml"
        if not path.exists():
            path.write_text(POLICY, encoding="utf-8")
        return path

    async def start_cloud(self) -> None:
        """Start the light Foundry and wait until it answers."""
        port = free_port()
        self.cloud = f"http://127.0.0.1:{port}"
        words = ("foundry_rollouts.cli.scale.wire", str(port), f"{self.cloud_ms:g}")
        process = await self._start("cloud", {}, *words)
        await self._until_answers(f"{self.cloud}{CONTROL}report", process, "cloud")

    async def ask_cloud(self, **query: int) -> dict[str, Any]:
        """Return what the light Foundry has to report; ``agents`` sets how many it has."""
        answer = await self.http.get(f"{self.cloud}{CONTROL}report", params=query)
        report: dict[str, Any] = answer.raise_for_status().json()
        return report

    async def start_service(self) -> Service:
        """Start one more replica, and wait until it is ready."""
        service = await self.launch_service()
        await self.until_ready(service)
        return service

    async def launch_service(self) -> Service:
        """Start one more replica, and wait for nothing."""
        self._born += 1
        name, port = f"replica-{self._born}", free_port()
        figures, profile = self.folder / f"{name}.figures", self.folder / f"{name}.profile"
        words = ("foundry_rollouts.cli.scale.watched", str(figures), str(profile))
        begun = time.monotonic()
        process = await self._start(name, self._settings(name, port), *words)
        return Service(name, port, process, figures, profile, begun)

    async def until_ready(self, service: Service) -> None:
        """Wait until a replica is ready; one that does not become so is ended."""
        try:
            await self._until_answers(f"{service.address}/readyz", service.process, service.name)
        except RolloutsError:
            await self._end(service.process)
            raise

    async def end(self, service: Service) -> None:
        """Ask a replica to stop, and wait until it has."""
        await self._end(service.process)

    async def scrape(self, service: Service) -> Scrape:
        """Read a replica's metrics."""
        began = time.perf_counter()
        text = (await self.http.get(f"{service.address}/metrics")).raise_for_status().text
        return scrape_of(text, time.perf_counter() - began)

    async def close(self) -> None:
        """End everything, the youngest first."""
        await self.http.aclose()
        for process in reversed(self._running):
            await self._end(process)

    def _settings(self, name: str, port: int) -> dict[str, str]:
        settings = {
            "PROJECT_ENDPOINT": f"{self.cloud}{PROJECT}",
            "CREDENTIAL": "emulator",
            "DATABASE_URL": self.database,
            "POLICIES": str(self.policy),
            "LISTEN": f"127.0.0.1:{port}",
            "TICK_SECONDS": f"{self.cadence:g}",
            "DISCOVERY_SECONDS": "30",
            "REPLICA": name,
            "REQUESTS_PER_SECOND": "100000",
            "LOG_FORMAT": "json",
        }
        return {f"FOUNDRY_ROLLOUTS_{key}": value for key, value in settings.items()}

    async def _start(self, name: str, env: dict[str, str], *words: str) -> asyncio.subprocess.Process:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("FOUNDRY_")}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=clean | env
            )
        self._running.append(process)
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), PATIENCE)
            except TimeoutError:
                process.kill()
                await process.wait()
        if process in self._running:
            self._running.remove(process)

    async def _until_answers(self, url: str, process: asyncio.subprocess.Process, name: str) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and process.returncode is None:
            try:
                if (await self.http.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
        words = (self.folder / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()
        raise RolloutsError(f"the {name} did not become ready: {words[-1] if words else 'it said nothing'}")
