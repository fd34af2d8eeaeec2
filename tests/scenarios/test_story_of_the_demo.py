"""The demonstration, from the wheels of a release in an empty environment, outside the repository.

Both rollouts end as they have to, and what it prints at its end works as it is printed.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clean_install import CleanInstall, install, wheel_of
from tools.repository import EMULATOR, ROOT

WELL = "Both rollouts ended as they had to: version 2 promoted, version 3 rolled back."
pytestmark = pytest.mark.timeout(600)  # two rollouts with real processes


def run(command: str, installed: CleanInstall, folder: Path) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=installed.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[CleanInstall]:
    """Give an environment with what ``pip install foundry-rollouts[emulator]`` installs; end what was left running."""
    service = wheel_of(ROOT, tmp_path / "service")
    whole = install(service, tmp_path / "venv", wheel_of(EMULATOR, tmp_path / "emulator"))
    (tmp_path / "reader").mkdir()
    yield whole
    run(f"{whole.folder}/bin/foundry-rollouts demo --stop", whole, tmp_path / "reader")


def test_the_demo_ends_well_and_its_last_lines_work_as_they_are_printed(
    installed: CleanInstall, tmp_path: Path
) -> None:
    program, folder = f"{installed.folder}/bin/foundry-rollouts", tmp_path / "reader"
    story, _, ending = run(f"{program} demo --keep", installed, folder).partition(f"\n{WELL}\n")
    assert "rollout.promoted" in story
    assert "rollout.rolled_back" in story
    *printed, last = ending.strip().splitlines()
    commands = [line.strip() for line in printed if line.startswith("  ")]
    words = [command.removeprefix(f"{program} ").partition(" --")[0] for command in commands]
    assert words == ["rollout history", "rollout explain", "demo"]
    history, explained, stopped = (run(command, installed, folder) for command in commands)
    assert "rollout.rolled_back" in history
    assert "harm is proved" in explained
    assert stopped == "ended 3 processes\n"
    guide = last.rpartition(" ")[2]
    assert (ROOT / guide).is_file()
