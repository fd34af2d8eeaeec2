"""Which command starts a version's code."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from foundry_emulator.records import VersionRecord

_PYTHONS = {"python", "python3"}


@dataclass(frozen=True, slots=True)
class BuildFolder:
    """The files of one built version."""

    root: Path

    @property
    def archive(self) -> Path:
        """The zip as it was uploaded."""
        return self.root / "code.zip"

    @property
    def app(self) -> Path:
        """The unpacked code, working folder of every session."""
        return self.root / "app"

    @property
    def python(self) -> Path:
        """The interpreter of the version's own packages; it exists only when there are some."""
        return self.root / "venv" / "bin" / "python"

    @property
    def packages(self) -> Path | None:
        """The bundled packages, or None."""
        folder = self.app / "packages"
        return folder if folder.is_dir() else None


def command_of(version: VersionRecord, build: BuildFolder) -> list[str]:
    """Return the entry point with its program found; ``python`` is the version's own interpreter, or ours."""
    program, *rest = version.definition["code_configuration"]["entry_point"]
    if program in _PYTHONS:
        return [str(build.python if build.python.exists() else sys.executable), *rest]
    return [shutil.which(program) or program, *rest]


def leashed(command: list[str]) -> list[str]:
    """Return a command whose process the system ends when the emulator is killed, where that can be had."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command
