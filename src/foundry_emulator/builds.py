"""Builds: an uploaded zip becomes a folder that can be started, or an error as the cloud words it."""

import asyncio
import os
import shutil
import stat
import sys
import zipfile
from pathlib import Path
from typing import Any

from foundry_emulator.definitions import image_of
from foundry_emulator.records import VersionRecord
from foundry_emulator.sandboxes.behaviours import ImageError
from foundry_emulator.sandboxes.images import Images
from foundry_emulator.sandboxes.launch import BuildFolder

_HELP = "https://aka.ms/hosted-agents-build-errors"
_PYTHONS = ("python", "python3")


class BuildError(Exception):
    """The version cannot be built; ``code`` and the text become its ``error``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def view(self) -> dict[str, Any]:
        """Return the ``error`` object of the failed version."""
        return {"code": self.code, "message": str(self), "details": None}


def keep_archive(build: BuildFolder, archive: Path) -> None:
    """Move an uploaded zip to where its version is built."""
    build.root.mkdir(parents=True, exist_ok=True)
    shutil.move(archive, build.archive)


async def build(version: VersionRecord, folder: BuildFolder, images: Images) -> None:
    """Make the version ready to start, or raise ``BuildError``."""
    try:
        image = image_of(version.definition)
        await (_build(version, folder) if image is None else _prepare(images, image, folder))
    except OSError as error:
        raise BuildError("ProvisioningError", f"the build could not run: {error}") from error


async def _build(version: VersionRecord, folder: BuildFolder) -> None:
    code = version.definition["code_configuration"]
    await asyncio.to_thread(_unpack, folder)
    program = code["entry_point"][0]
    if program not in _PYTHONS and shutil.which(program) is None and not (folder.app / program).is_file():
        raise BuildError("CodeError", f"entry point program '{program}' was not found")
    if code["dependency_resolution"] == "remote_build":
        await _install(folder)


async def _prepare(images: Images, image: str, folder: BuildFolder) -> None:
    try:
        await images.prepare(image, folder.root)
    except ImageError as error:
        raise BuildError("ImageError", str(error)) from error


def _unpack(folder: BuildFolder) -> None:
    shutil.rmtree(folder.app, ignore_errors=True)
    folder.app.mkdir(parents=True)
    try:
        with zipfile.ZipFile(folder.archive) as archive:
            for entry in archive.infolist():
                _extract(archive, entry, folder.app)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise BuildError("CodeError", f"the code archive cannot be read: {error}") from error


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        return
    path = (target / entry.filename).resolve()
    if not path.is_relative_to(target.resolve()):
        raise BuildError("CodeError", f"the code archive holds an unsafe path: {entry.filename}")
    archive.extract(entry, target)
    if mode & 0o111 and path.is_file():
        path.chmod(0o755)


async def _install(folder: BuildFolder) -> None:
    requirements = folder.app / "requirements.txt"
    if not requirements.is_file() or not _has_lines(requirements):
        return
    environment = str(folder.python.parent.parent)
    uv = shutil.which("uv")
    if uv:
        await _run(folder, uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment)
        await _run(folder, uv, "pip", "install", "--quiet", "--python", str(folder.python), "-r", requirements.name)
    else:
        await _run(folder, sys.executable, "-m", "venv", "--clear", environment)
        await _run(folder, str(folder.python), "-m", "pip", "install", "--quiet", "-r", requirements.name)


def _has_lines(requirements: Path) -> bool:
    lines = requirements.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


async def _run(folder: BuildFolder, *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder.app,
        env={**os.environ, "NO_COLOR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        last = _last_error(output.decode(errors="replace"))
        raise BuildError("CodeError", f"{last} (exit code {process.returncode}). See {_HELP}")


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["the build failed"]
    starts = [number for number, line in enumerate(lines) if line.lower().startswith("error")]
    # Installers wrap a long message, so it goes on to the end of the output.
    return " ".join(lines[starts[-1] if starts else -1 :])[:500]
