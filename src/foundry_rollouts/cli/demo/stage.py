"""What the demonstration needs around it: a local Foundry, the controller, some users; each a process of its own."""

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from foundry_rollouts.errors import RolloutsError

#: How long a process may take until it answers.
START_SECONDS = 30.0
#: The address people know is taken when it is free.
USUAL_PORT = 8080


@dataclass(slots=True)
class Stage:
    """The processes of one demonstration; ``folder`` holds their logs, the database and the list of process ids."""

    folder: Path
    usual_port: int = USUAL_PORT  #: Where the controller listens when that port is free.
    emulator: str = ""
    server: str = ""
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"{self.emulator}/api/projects/local"

    async def start_emulator(self, address: str | None = None) -> None:
        """Start the local Foundry, at a free address when none is given, and wait until it is ready."""
        self.emulator = address or f"http://127.0.0.1:{free_port()}"
        listen = self.emulator.removeprefix("http://")
        await self._start("emulator", "emulator", "--listen", listen, "--images", "echo")
        await self._wait_for(f"{self.emulator}/_emulator/health", "emulator")

    async def start_controller(self, policy: Path, until: str = "readyz", **more: str) -> None:
        """Start the controller on its embedded database and wait until the page ``until`` says that it is well.

        ``more`` are settings beside those of the demonstration, by their names without the prefix.
        """
        self.server = f"http://127.0.0.1:{free_port(self.usual_port)}"
        await self._start(
            "controller",
            "serve",
            env={
                "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": self.endpoint,
                "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
                "FOUNDRY_ROLLOUTS_DATABASE_URL": f"sqlite:///{self.folder / 'history.db'}",
                "FOUNDRY_ROLLOUTS_POLICIES": str(policy),
                "FOUNDRY_ROLLOUTS_LISTEN": self.server.removeprefix("http://"),
                "FOUNDRY_ROLLOUTS_TICK_SECONDS": "0.5",
                "FOUNDRY_ROLLOUTS_DISCOVERY_SECONDS": "1",
                "FOUNDRY_ROLLOUTS_LOG_FORMAT": "json",
                **{f"FOUNDRY_ROLLOUTS_{name}": value for name, value in more.items()},
            },
        )
        await self._wait_for(f"{self.server}/{until}", "controller")

    async def start_users(self, agent: str) -> None:
        """Let some users in."""
        await self._start("users", self.endpoint, agent, module="foundry_rollouts.cli.demo.traffic")

    async def stop(self) -> None:
        """End every process, the youngest first."""
        for process in reversed(self.processes):
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), 15)
                except TimeoutError:
                    process.kill()
        self.processes.clear()
        (self.folder / "processes.json").unlink(missing_ok=True)

    async def _start(
        self, name: str, *words: str, module: str = "foundry_rollouts", env: dict[str, str] | None = None
    ) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("FOUNDRY_")}
        with self._log(name) as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean | (env or {}),
                start_new_session=True,
            )
        self.processes.append(process)
        ids = [process.pid for process in self.processes]
        (self.folder / "processes.json").write_text(json.dumps(ids), "utf-8")

    def _log(self, name: str) -> IO[bytes]:
        return (self.folder / f"{name}.log").open("ab")

    async def _wait_for(self, url: str, name: str) -> None:
        """Wait until ``url`` answers 200; raise with the process's last words when it ends or takes too long."""
        process = self.processes[-1]
        async with httpx.AsyncClient(verify=False) as client:  # noqa: S501 - plain http on loopback
            for _ in range(int(START_SECONDS / 0.1)):
                try:
                    if (await client.get(url)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                if process.returncode is not None:
                    break
                await asyncio.sleep(0.1)
        words = (self.folder / f"{name}.log").read_text("utf-8", "replace").strip().splitlines()
        raise RolloutsError(f"the {name} did not become ready: {words[-1] if words else 'it said nothing'}")


def free_port(wish: int = 0) -> int:
    """Return a free loopback port: ``wish`` when that is free."""
    with socket.socket() as probe:
        # As a server does: connections of one that ended a moment ago do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wish))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_kept(folder: Path) -> int:
    """End what an earlier demonstration left running; return how many processes that were."""
    path = folder / "processes.json"
    if not path.exists():
        return 0
    ended = 0
    for pid in reversed(json.loads(path.read_text("utf-8"))):
        if is_ours(pid):
            os.kill(pid, signal.SIGTERM)
            ended += 1
    path.unlink()
    return ended


def is_ours(pid: int) -> bool:
    """Whether the process of that number is one of this program's: numbers are given anew after a while."""
    try:
        return b"foundry_rollouts" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
