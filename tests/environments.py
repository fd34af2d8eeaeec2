"""Environments beside the one that runs the tests: an older SDK, a program with libraries of its own.

``tests/requirements-NAME.txt`` says what one holds, with hashes, and ``requirements-NAME.in`` why. It is made when the
first test asks for it, and anew when that file changed; ``python -m environments`` makes all of them.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from tools.repository import ROOT

FOLDER = Path(sys.prefix, "environments")  #: Within the environment that runs the tests, so that both go at once.
VARIABLES = dict(os.environ)  #: As they were before a test narrowed the authorities that are trusted.
PATIENCE = 900  #: Seconds; an index may be far away.


def environment(name: str) -> Path:
    """Return the Python of the environment ``name``; make the environment if it is missing or out of date."""
    requirements = ROOT / "tests" / f"requirements-{name}.txt"
    wanted = f"{sys.version} {hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    python, made = FOLDER / name / "bin" / "python", FOLDER / f"{name}.made"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers want it at once
        if not made.exists() or made.read_text("utf-8") != wanted:
            made.unlink(missing_ok=True)
            _install(requirements, python)
            made.write_text(wanted, "utf-8")
    return python


def _install(requirements: Path, python: Path) -> None:
    """Fill a new environment; pip does what uv cannot, as where an index is trusted by the system only."""
    venv.EnvBuilder(clear=True).create(python.parents[1])
    uv, exactly = Path(sys.prefix, "bin", "uv"), ("--quiet", "--require-hashes")
    commands: list[list[str | Path]] = [
        [uv, "pip", "sync", *exactly, "--python", python, requirements],
        [sys.executable, "-m", "pip", "--python", python, "install", *exactly, "--no-deps", "-r", requirements],
    ]
    said = ""
    for command in commands if uv.exists() else commands[1:]:
        run = subprocess.run(command, env=VARIABLES, capture_output=True, text=True, timeout=PATIENCE, check=False)
        if run.returncode == 0:
            return
        said += run.stdout + run.stderr
    raise AssertionError(f"{requirements.name} was not installed:\n{said}")


if __name__ == "__main__":
    for file in (ROOT / "tests").glob("requirements-*.txt"):
        environment(file.stem.removeprefix("requirements-"))
