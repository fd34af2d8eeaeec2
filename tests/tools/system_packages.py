"""Programs that some tests use and that no Python package brings: found, or fetched from Debian.

A Debian package is unpacked inside the environment and not installed: no service starts, nothing else on the machine
changes. Where that cannot be done the tests that need the program are left out, and say so.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: Program to the Debian package that holds it.
PACKAGES = {"promtool": "prometheus"}
UNPACKED = Path(sys.prefix, "debian")
PATIENCE = 120.0  #: Seconds for one call of a package tool.


def found(program: str) -> str | None:
    """Return the path of ``program``, on the machine or unpacked here; None when it is in neither place."""
    ours = UNPACKED / "usr" / "bin"
    return shutil.which(program, path=os.pathsep.join((os.environ.get("PATH", ""), str(ours))))


def fetch_missing() -> list[str]:
    """Fetch what is missing; return one line for each program that is still missing."""
    for program in [program for program in PACKAGES if found(program) is None]:
        unpack(PACKAGES[program])
    return [
        f"{program} is missing (Debian: apt-get install {package}): tests that use it are left out"
        for program, package in PACKAGES.items()
        if found(program) is None
    ]


def unpack(package: str) -> bool:
    """Download ``package`` and unpack it; return whether that worked."""
    if not all(map(shutil.which, ("apt-get", "dpkg-deb"))):
        return False
    with tempfile.TemporaryDirectory() as folder:
        is_here = run(["apt-get", "download", package], folder)
        if not is_here and os.geteuid() == 0:
            is_here = run(["apt-get", "update"], folder) and run(["apt-get", "download", package], folder)
        archives = [str(archive) for archive in Path(folder).glob("*.deb")]
        return is_here and bool(archives) and run(["dpkg-deb", "--extract", archives[0], str(UNPACKED)], folder)


def run(command: list[str], folder: str) -> bool:
    """Run a package tool quietly in ``folder``; return whether it did well in time."""
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
