"""Container engines: they fetch real images and run them, one container for each session.

A container shares this machine's network, so that it listens on the port the emulator chose and reaches the emulator.
"""

import asyncio
import contextlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foundry_emulator.sandboxes.behaviours import ImageError

HOME = "/home/session"
_COMMAND = "command.json"  #: What an image starts, beside the version's other files.
#: What describes this machine and not the agent; a container has its own.
_OF_THE_MACHINE = frozenset({"HOME", "LANG", "PATH", "PYTHONPATH"})


@dataclass(frozen=True, slots=True)
class Container:
    """One container to start: its name, its image, its environment, and the session's files."""

    name: str
    image: str
    environment: Mapping[str, str]
    home: Path


class Engine(Protocol):
    """A program that fetches images and runs containers."""

    @property
    def program(self) -> str:
        """The engine's command, as it is found on the PATH."""

    async def fetch(self, image: str, folder: Path) -> None:
        """Have the image here before a version is active; raise ``ImageError`` when it cannot be had."""

    def start(self, container: Container, folder: Path) -> list[str]:
        """Return the command that runs the container until it ends."""

    def remove(self, name: str) -> list[str]:
        """Return the command that removes what a container left."""


class Podman:
    """``podman run``: the whole life of a container in one command."""

    program = "podman"

    async def fetch(self, image: str, folder: Path) -> None:  # noqa: ARG002 - the engine keeps its images itself
        """Pull the image unless it is here."""
        if not await _is_well(self.program, "image", "exists", image):
            await _said(self.program, "pull", "--quiet", image)

    def start(self, container: Container, folder: Path) -> list[str]:  # noqa: ARG002
        """Return ``podman run``."""
        options = ["--rm", "--pull", "never", "--network", "host", "--name", container.name]
        return [self.program, "run", *options, *_given(container), container.image]

    def remove(self, name: str) -> list[str]:
        """Return ``podman rm``, which says nothing when the container is gone."""
        return [self.program, "rm", "--force", "--ignore", name]


class Buildah:
    """``buildah run`` in a chroot: it needs neither namespaces nor control groups."""

    program = "buildah"

    async def fetch(self, image: str, folder: Path) -> None:
        """Pull the image unless it is here, and write down which command it starts."""
        await _said(self.program, "pull", "--quiet", "--policy", "missing", image)
        text = await _said(self.program, "inspect", "--type", "image", image)
        config = json.loads(text)["OCIv1"]["config"]
        command = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
        if not command:
            raise ImageError(f"'{image}' has neither an entry point nor a command")
        _keep_command(folder, command)

    def start(self, container: Container, folder: Path) -> list[str]:
        """Return a shell that makes a working container and becomes ``buildah run`` in it."""
        command = json.loads((folder / _COMMAND).read_text("utf-8"))
        make = ["from", "--quiet", "--pull-never", "--name", container.name, container.image]
        run = ["run", "--isolation", "chroot", *_given(container), container.name, "--", *command]
        words = f"buildah {shlex.join(make)} >/dev/null && exec buildah {shlex.join(run)}"
        return ["sh", "-c", words]

    def remove(self, name: str) -> list[str]:
        """Return ``buildah rm``."""
        return [self.program, "rm", name]


ENGINES: Mapping[str, Engine] = {engine.program: engine for engine in (Podman(), Buildah())}


def _keep_command(folder: Path, command: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _COMMAND).write_text(json.dumps(command), "utf-8")


def _given(container: Container) -> list[str]:
    variables = {name: value for name, value in container.environment.items() if name not in _OF_THE_MACHINE}
    # The home is the contract's, whatever the machine calls the folder.
    given = [f"--env={name}={value}" for name, value in {**variables, "HOME": HOME}.items()]
    return [*given, f"--volume={container.home}:{HOME}"]


async def _is_well(*command: str) -> bool:
    with contextlib.suppress(ImageError):
        await _said(*command)
        return True
    return False


async def _said(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        last = (errors.decode(errors="replace").strip().splitlines() or ["no reason was given"])[-1]
        raise ImageError(f"cannot pull '{command[-1]}': {last[:400]}")
    return output.decode(errors="replace")
