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
PACKAGES = {
    "promtool": "prometheus",
    "chromium": "chromium",
    "sqlite3": "sqlite3",
    "systemd-analyze": "systemd",
    "mmdebstrap": "mmdebstrap",
    "nginx": "nginx",
}
#: Programs that need more packages than their own, and where the program itself lies among them.
WITH_LIBRARIES = {
    "chromium": Path("usr", "lib", "chromium", "chromium"),
    "sqlite3": Path("usr", "bin", "sqlite3"),
    "systemd-analyze": Path("usr", "bin", "systemd-analyze"),
    "nginx": Path("usr", "sbin", "nginx"),
}
UNPACKED = Path(sys.prefix, "debian")
PATIENCE = 120.0  #: Seconds for one call of a package tool.


def found(program: str) -> str | None:
    """Return the path of ``program``, on the machine or unpacked here; None when it is in neither place."""
    if installed := shutil.which(program):
        return installed
    unpacked = UNPACKED / WITH_LIBRARIES.get(program, Path("usr", "bin", program))
    return shutil.which(str(unpacked))


def environment_of(program: str) -> dict[str, str]:
    """Return the environment to run ``program`` in: one that is unpacked here finds its libraries here too."""
    if shutil.which(program) or program not in WITH_LIBRARIES:
        return dict(os.environ)
    libraries = (UNPACKED / "usr" / "lib", UNPACKED / "lib")
    folders = sorted({str(path.parent) for folder in libraries for path in folder.rglob("*.so*")})
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(folders)}


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
        command = download_of(package, Path(folder))
        is_here = run(command, folder)
        if not is_here and os.geteuid() == 0:
            is_here = run(["apt-get", "update"], folder) and run(command, folder)
        archives = [str(archive) for archive in Path(folder).glob("*.deb")]
        extracted = [run(["dpkg-deb", "--extract", archive, str(UNPACKED)], folder) for archive in archives]
        return is_here and bool(extracted) and all(extracted)


def download_of(package: str, folder: Path) -> list[str]:
    """Return the command that downloads ``package`` into ``folder``, with what it needs where that is more."""
    if package not in WITH_LIBRARIES:
        return ["apt-get", "download", package]
    (folder / "partial").mkdir()
    quiet = ["--yes", "--download-only", "--no-install-recommends", "-o", "Debug::NoLocking=1"]
    return ["apt-get", "install", *quiet, "-o", f"Dir::Cache::archives={folder}", package]


def run(command: list[str], folder: str) -> bool:
    """Run a package tool quietly in ``folder``; return whether it did well in time."""
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


if __name__ == "__main__":
    sys.stderr.writelines(f"{line}\n" for line in fetch_missing())
