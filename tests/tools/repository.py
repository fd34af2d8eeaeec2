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


def table_under(heading: str, page: str = "README.md") -> list[list[str]]:
    """Return the cells of the first table under ``heading`` of a page, its head left out."""
    text = (ROOT / page).read_text("utf-8")
    assert f"\n## {heading}\n" in text, f"{page} has no heading {heading!r}"
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
