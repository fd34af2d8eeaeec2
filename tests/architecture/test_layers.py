"""Who may import whom: the contracts hold, and each of them bites."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.repository import ROOT, program

#: A contract, a file, and a line that breaks the contract there.
OFFENCES = [
    ("Every room knows only the rooms below it", "controller/tick.py", "from foundry_rollouts.store import store"),
    ("Every room knows only the rooms below it", "drawer.py", "UNLISTED = True"),
    ("The core is pure: no I/O, no clock, no logging", "core/deciding/decide.py", "import time"),
    ("The core's rooms stand on each other", "core/model/policy.py", "from foundry_rollouts.core.judging import judge"),
    (
        "The core's rooms stand on each other",
        "core/judging/judge.py",
        "from foundry_rollouts.core.deciding import decide",
    ),
    (
        "The core's rooms stand on each other",
        "core/deciding/decide.py",
        "from foundry_rollouts.core.forecast import plan",
    ),
    (
        "The core's rooms stand on each other",
        "core/replay/counts.py",
        "from foundry_rollouts.core.forecast import plan",
    ),
    ("The core's rooms stand on each other", "core/drawer.py", "UNLISTED = True"),
    (
        "What runs never forecasts and never replays",
        "controller/tick.py",
        "from foundry_rollouts.core.replay.counts import counts",
    ),
    (
        "What runs never forecasts and never replays",
        "store/store.py",
        "from foundry_rollouts.core.forecast import plan",
    ),
    ("Web pages ask operations; they never reach past them", "web/api.py", "from foundry_rollouts.store import store"),
    ("SQL lives in the store", "wiring.py", "import sqlalchemy"),
    ("One module speaks HTTP to the cloud", "signals/probe.py", "import httpx"),
    ("One module speaks HTTP to the cloud", "notify/dispatcher.py", "import httpx"),
    ("Only the wiring knows who is told", "cli/serve.py", "from foundry_rollouts.notify import dispatcher"),
    (
        "The emulator shares no code with the controller",
        "../foundry_emulator/state.py",
        "import foundry_rollouts.errors",
    ),
    ("One command starts the emulator", "wiring.py", "import foundry_emulator.state"),
    (
        "One command starts the emulator",
        "cli/demo/stage.py",
        "import foundry_emulator.state",
    ),
    (
        "The bench measures the core and knows nothing else",
        "bench/streams.py",
        "from foundry_rollouts.policies import load",
    ),
    ("Only the command line measures", "wiring.py", "from foundry_rollouts.bench import streams"),
    ("Numbers by the thousand are for the bench", "core/judging/judge.py", "import numpy"),
    ("No import cycles", "../foundry_emulator/errors.py", "import foundry_emulator.world"),
    ("No import cycles", "controller/apply.py", "from foundry_rollouts.controller import tick"),
]


def broken_contracts(folder: Path) -> list[str]:
    """Return the names of the contracts that the package under ``folder`` breaks."""
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    run = subprocess.run(
        [program("lint-imports"), "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "Contracts:" in run.stdout, run.stdout + run.stderr
    return [line.removesuffix(" BROKEN") for line in run.stdout.splitlines() if line.endswith(" BROKEN")]


def test_every_contract_is_kept() -> None:
    assert broken_contracts(ROOT) == []


@pytest.mark.parametrize(("contract", "file", "line"), OFFENCES)
def test_a_planted_offence_is_caught(contract: str, file: str, line: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "src" / "foundry_rollouts" / file).open("a", encoding="utf-8") as code:
        code.write(f"\n{line}\n")
    assert contract in broken_contracts(tmp_path)
