"""The command line as its users meet it: a process of its own."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def errors(self) -> list[str]:
        return self.err.splitlines()


async def begin(
    *args: str, folder: Path, stdout: int = asyncio.subprocess.PIPE, **variables: str
) -> asyncio.subprocess.Process:
    """Start ``foundry-rollouts`` in ``folder`` with no variable of ours but ``variables``."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foundry_rollouts", *args),
        cwd=folder,
        env=clean | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*args: str, folder: Path) -> Outcome:
    """Run ``foundry-rollouts`` to its end."""
    return await outcome_of(await begin(*args, folder=folder))


async def outcome_of(process: asyncio.subprocess.Process) -> Outcome:
    """Wait for the end of ``process``."""
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())
