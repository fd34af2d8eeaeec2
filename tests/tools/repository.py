"""The repository as tests look at it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "foundry_rollouts"
EMULATOR = ROOT / "src" / "foundry_emulator"


def program(name: str) -> str:
    """Return the path of a program of the environment that runs the tests."""
    return str(Path(sys.prefix, "bin", name))


def said(*command: str, folder: Path = ROOT) -> str:
    """Run ``command`` and return what it says; fails with that when it does not exit well."""
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, f"{' '.join(command)}: exit {run.returncode}\n{run.stdout}{run.stderr}"
    return run.stdout
