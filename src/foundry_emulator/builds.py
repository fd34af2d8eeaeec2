"""Builds: an uploaded zip becomes a folder that can be started, or an error as the cloud words it."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from foundry_emulator.archives import unpack
from foundry_emulator.definitions import image_of
from foundry_emulator.errors import BuildError, build_failed
from foundry_emulator.layouts import (
    is_dotnet,
    is_remote,
    project_file,
    refuse_layout,
    refuse_output,
    script_of,
)
from foundry_emulator.records import VersionRecord
from foundry_emulator.sandboxes.behaviours import ImageError
from foundry_emulator.sandboxes.images import Images
from foundry_emulator.sandboxes.launch import BuildFolder

_PYTHONS = ("python", "python3")
# Compiles the entry point and the modules beside it, and writes nothing.
_COMPILE = """
import pathlib, sys, warnings
warnings.simplefilter("ignore")
for name in sorted({*sys.argv[1:], *(path.name for path in pathlib.Path().glob("*.py") if path.is_file())}):
    try:
        compile(pathlib.Path(name).read_bytes(), name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""
_ERROR = re.compile(r"error\b", re.IGNORECASE)
_COMPILER_ERROR = re.compile(r": error [A-Z]+[0-9]+:")


def keep_archive(build: BuildFolder, archive: Path) -> None:
    """Move an uploaded zip to where its version is built."""
    build.root.mkdir(parents=True, exist_ok=True)
    shutil.move(archive, build.archive)


async def build(version: VersionRecord, folder: BuildFolder, images: Images, *, checks_layout: bool = True) -> None:
    """Make the version ready to start, or raise ``BuildError``."""
    try:
        image = image_of(version.definition)
        if image is not None:
            await _prepare(images, image, folder)
            return
        code = version.definition["code_configuration"]
        await asyncio.to_thread(unpack, folder.archive, folder.app)
        if checks_layout:
            await asyncio.to_thread(refuse_layout, folder.app, code)
        await (_build_dotnet(code, folder) if is_dotnet(code) else _build_python(code, folder, checks_layout))
    except OSError as error:
        raise BuildError("ProvisioningError", f"the build could not run: {error}") from error


async def _prepare(images: Images, image: str, folder: BuildFolder) -> None:
    try:
        await images.prepare(image, folder.root)
    except ImageError as error:
        raise BuildError("ImageError", str(error)) from error


async def _build_python(code: dict[str, Any], folder: BuildFolder, checks_syntax: bool) -> None:
    _refuse_program(code, folder)
    if checks_syntax:
        script = script_of(code)
        await _run(
            folder, sys.executable, "-I", "-c", _COMPILE, *([script] if script and script.endswith(".py") else [])
        )
    if is_remote(code):
        await _install(folder)


async def _build_dotnet(code: dict[str, Any], folder: BuildFolder) -> None:
    program = code["entry_point"][0]
    if shutil.which("dotnet") is None and (program == "dotnet" or is_remote(code)):
        message = "dotnet is not on the PATH of the local Foundry: the layout is right, but nothing can be built or run"
        raise BuildError("ProvisioningError", message)
    if is_remote(code):
        published = folder.root / "published"
        project = project_file(folder.app).name
        await _run(folder, "dotnet", "publish", project, "-c", "Release", "-o", str(published), "--nologo", "-v:quiet")
        shutil.rmtree(folder.app)
        published.rename(folder.app)
        if program == "dotnet" and code["entry_point"][1:]:
            refuse_output(folder.app, code["entry_point"][1])
    _refuse_program(code, folder)


def _refuse_program(code: dict[str, Any], folder: BuildFolder) -> None:
    program = code["entry_point"][0]
    if program not in _PYTHONS and shutil.which(program) is None and not (folder.app / program).is_file():
        raise build_failed(f"entry point program '{program}' was not found")


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
        env={**os.environ, "NO_COLOR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "DOTNET_CLI_TELEMETRY_OPTOUT": "1"},
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
        raise build_failed(_last_error(output.decode(errors="replace")), process.returncode)


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["the build failed"]
    compilers = [line for line in lines if _COMPILER_ERROR.search(line)]
    if compilers:
        return compilers[-1][:500]
    starts = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    # Installers wrap a long message, so it goes on to the end of the output.
    return " ".join(lines[starts[-1] if starts else -1 :])[:500]
