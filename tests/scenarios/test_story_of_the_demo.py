"""The demonstration, as a newcomer runs it: both rollouts end as they have to, and what it prints at its end works."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.repository import ROOT

PROGRAM = Path(sys.executable).with_name("foundry-rollouts")
WELL = "Both rollouts ended as they had to: version 2 promoted, version 3 rolled back."
pytestmark = pytest.mark.timeout(600)  # two rollouts with real processes


def clean() -> dict[str, str]:
    """Return the environment of somebody who has set nothing up and installed nothing."""
    there = str(PROGRAM.parent)
    paths = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != there]
    ours = ("FOUNDRY_", "COVERAGE")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | {"PATH": ":".join(paths)}


def run(command: str, folder: Path) -> str:
    done = subprocess.run(command, shell=True, cwd=folder, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    run(f"{PROGRAM} demo --stop", tmp_path)


def test_the_demo_ends_well_and_its_last_lines_work_as_they_are_printed(folder: Path) -> None:
    shown = run(f"{PROGRAM} demo --keep", folder)
    story, _, ending = shown.partition(
        "\nBoth rollouts ended as they had to: version 2 promoted, version 3 rolled back.\n"
    )
    assert "rollout.promoted" in story
    assert "rollout.rolled_back" in story
    *printed, last = ending.strip().splitlines()
    commands = [line.strip() for line in printed if line.startswith("  ")]
    assert [command.split(" --")[0].split(f"{PROGRAM} ")[1] for command in commands] == [
        "rollout history",
        "rollout explain",
        "demo",
    ]
    history, explained, stopped = (run(command, folder) for command in commands)
    assert "rollout.rolled_back" in history
    assert "harm is proved" in explained
    assert stopped == "ended 3 processes\n"
    guide = last.rpartition(" ")[2]
    assert (ROOT / guide).is_file()
