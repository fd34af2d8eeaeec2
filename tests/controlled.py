"""The service beside tests that are no coroutines: a process of its own, ended with the block."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from foundry_rollouts.cli.demo.stage import free_port
from patience import PATIENCE
from town import POLICY

HASTE = {"TICK_SECONDS": "0.5", "DISCOVERY_SECONDS": "1", "LOG_FORMAT": "json"}


@contextmanager
def controlled(project: str, folder: Path, policies: str = POLICY, **settings: str) -> Iterator[str]:
    """Run the service for a project of a local Foundry; yield its address once it is ready."""
    listen = f"127.0.0.1:{free_port()}"
    (folder / "policies.yaml").write_text(policies, "utf-8")
    chosen = {
        "PROJECT_ENDPOINT": project,
        "CREDENTIAL": "emulator",
        "DATABASE_URL": f"sqlite:///{folder / 'history.db'}",
        "POLICIES": str(folder / "policies.yaml"),
        "LISTEN": listen,
        **HASTE,
        **settings,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY")}
    environment |= {f"FOUNDRY_ROLLOUTS_{name}": value for name, value in chosen.items()}
    command = [sys.executable, "-m", "foundry_rollouts", "serve"]
    with (
        (folder / "service.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            _until_ready(f"http://{listen}/readyz", process, folder)
            yield f"http://{listen}"
        finally:
            process.terminate()


def _until_ready(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError((folder / "service.log").read_text("utf-8"))
