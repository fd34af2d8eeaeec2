"""Real processes for storms: a local Foundry and replicas of the service, each with its log in a folder."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from patience import PATIENCE

#: The module that a replica is, and its words.
SERVE = ("foundry_rollouts", "serve")
#: Where the modules of a process are looked for, whatever folder it runs in.
PATHS = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)


@dataclass(slots=True)
class Running:
    """One process of ours and where it answers."""

    name: str
    address: str
    process: asyncio.subprocess.Process

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    async def end(self, how: signal.Signals, patience: float = PATIENCE) -> None:
        """Send a signal and wait for the end; one that does not end in time is killed, with an error."""
        if self.is_alive:
            self.process.send_signal(how)
        try:
            await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"{self.name} did not end within {patience:g} s of {how.name}") from None


@dataclass(slots=True)
class Launcher:
    """Starts processes; their words go to ``folder``."""

    folder: Path
    started: list[Running] = field(default_factory=list)

    async def emulator(self, port: int) -> Running:
        program = ("foundry_rollouts", "emulator", "--listen", f"127.0.0.1:{port}")
        running = await self._start("emulator", f"http://127.0.0.1:{port}", {}, *program)
        await until_answers(f"{running.address}/_emulator/health", running, self.folder)
        return running

    async def replica(
        self, name: str, port: int, settings: dict[str, str], program: tuple[str, ...] = SERVE, paths: str = PATHS
    ) -> Running:
        """Start ``serve`` under a name of its own; it may take a while until it is alive.

        ``paths`` are where its modules are looked for: another release lies elsewhere.
        """
        env = {f"FOUNDRY_ROLLOUTS_{key}": value for key, value in settings.items()}
        env |= {"FOUNDRY_ROLLOUTS_REPLICA": name, "FOUNDRY_ROLLOUTS_LISTEN": f"127.0.0.1:{port}"}
        return await self._start(name, f"http://127.0.0.1:{port}", {"PYTHONPATH": paths} | env, *program)

    async def _start(self, name: str, address: str, env: dict[str, str], *words: str) -> Running:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("FOUNDRY_")}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean | {"PYTHONPATH": PATHS} | env,
                cwd=self.folder,
                start_new_session=True,
            )
        self.started.append(Running(name, address, process))
        return self.started[-1]

    async def stop(self) -> None:
        """End everything, the youngest first."""
        for running in reversed(self.started):
            if running.is_alive:
                running.process.terminate()
                try:
                    await asyncio.wait_for(running.process.wait(), 15)
                except TimeoutError:
                    running.process.kill()
                    await running.process.wait()
        self.started.clear()


async def until_answers(url: str, running: Running, folder: Path) -> None:
    """Wait until ``url`` answers 200; raise with the last words of a process that ends or takes too long."""
    async with httpx.AsyncClient() as client:
        for _ in range(int(PATIENCE / 0.1)):
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if not running.is_alive:
                break
            await asyncio.sleep(0.1)
    words = (folder / f"{running.name}.log").read_text("utf-8", "replace").strip().splitlines()[-5:]
    raise AssertionError("\n".join([f"{running.name} did not answer at {url}; its last words:", *words]))
