"""Libraries that travel with the code: Linux wheels, installed here for the cloud's Python.

For agents that must not, or cannot, be built by the cloud. What an installer leaves behind of this machine (paths,
times, compiled files) is removed, so that the archive stays the same.
"""

import asyncio
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.definition import Code
from foundry_rollouts.foundry.packaging import Archive, pack

_LEAVINGS = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")
_PLATFORM = "manylinux2014_x86_64"


async def pack_bundled(folder: Path, code: Code, on_line: Callable[[str], None] | None = None) -> Archive:
    """Archive ``folder`` with what its ``requirements.txt`` asks for under ``packages/``.

    ``on_line`` hears what the installer says. Raises UsageError, with its last words, when it fails.
    """
    folder = await asyncio.to_thread(folder.absolute)  # the installer runs in it
    requirements = folder / "requirements.txt"
    if not requirements.is_file():
        raise UsageError(f"{requirements} is not there: write down the libraries, one a line")
    with TemporaryDirectory(prefix="foundry-rollouts-") as place:
        packages = Path(place)
        await _run(_installer(requirements, packages, _python_of(code.runtime)), folder, on_line)
        await asyncio.to_thread(_clean, packages)
        return await asyncio.to_thread(pack, folder, {"packages": packages})


def _python_of(runtime: str) -> str:
    """Return the version of Python that ``runtime`` names: ``python_3_13`` is 3.13."""
    name, _, version = runtime.partition("_")
    if name != "python" or not version:
        raise UsageError(f"runtime {runtime}: only Python's libraries can be bundled here")
    return version.replace("_", ".")


def _installer(requirements: Path, packages: Path, python: str) -> list[str]:
    shared = ["--target", str(packages), "--python-version", python, "--only-binary", ":all:"]
    shared += ["-r", str(requirements)]
    if find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-compile"]
        return [*pip, "--platform", _PLATFORM, "--implementation", "cp", *shared]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable, "--python-platform", "x86_64-manylinux2014", *shared]
    raise UsageError("neither pip nor uv is here to bundle libraries: install one, or let the cloud build")


async def _run(command: list[str], folder: Path, on_line: Callable[[str], None] | None) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        last = await _last_line(process.stdout, on_line)
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status != 0:
        raise UsageError(f"the libraries cannot be bundled for Linux: {last or 'the installer said nothing'}")


async def _last_line(output: asyncio.StreamReader | None, on_line: Callable[[str], None] | None) -> str:
    last = ""
    while raw := await output.readline() if output else b"":
        if line := raw.decode("utf-8", "replace").strip():
            last = line
            if on_line is not None:
                on_line(line)
    return last


def _clean(packages: Path) -> None:
    """Remove what differs from machine to machine: programs with our paths, compiled files, installers' notes."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for cache in list(packages.rglob("__pycache__")):
        shutil.rmtree(cache)
    for info in packages.glob("*.dist-info"):
        for name in _LEAVINGS:
            (info / name).unlink(missing_ok=True)
    (packages / ".lock").unlink(missing_ok=True)
