"""Agent code into the same archive bytes every time, so that the cloud knows what it has already.

Names are sorted by code point, times are 1980, modes are 0644, and nothing is compressed unless it must be: another
machine, another umask, another locale, another zlib all give the same SHA-256.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pathspec import GitIgnoreSpec

from foundry_rollouts.errors import UsageError

LIMIT_BYTES = 250 * 1000 * 1000  #: The cloud takes no larger archive.
IGNORE_FILE = ".agentignore"

_IGNORE_FILE_LIMIT = 1024 * 1024
_ALWAYS = (".git/", f"/{IGNORE_FILE}")
_DEFAULTS = (
    *("agent.yaml", "agent.manifest.yaml", "azure.yaml", "appPackage.zip", ".appPackage.zip.azd-generated"),
    *("TEAMS_APP_SETUP.md", ".env", ".env.*", ".azure/", "__pycache__/", ".venv/", "venv/", "*.pyc", "*.pyo"),
    *(".mypy_cache/", ".pytest_cache/", ".ruff_cache/", "bin/", "obj/", "*.user", "*.suo", ".vs/"),
    *("node_modules/", "Dockerfile", ".dockerignore", ".gitignore"),
)


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip: its bytes, their SHA-256 in hex, and the names inside."""

    data: bytes
    sha256: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, data: bytes) -> "Archive":
        """Take a zip that somebody else has made. Raises UsageError when it is none or too large."""
        _refuse_large(len(data))
        try:
            with zipfile.ZipFile(BytesIO(data)) as zipped:
                names = tuple(sorted(name for name in zipped.namelist() if not name.endswith("/")))
        except zipfile.BadZipFile as error:
            raise UsageError(f"this is no zip archive: {error}") from error
        return cls(data, hashlib.sha256(data).hexdigest(), names)


def pack(folder: Path, extra: Mapping[str, Path] | None = None) -> Archive:
    """Archive what ``selected`` chooses in ``folder``, and whole folders of ``extra`` under the names they have there.

    Raises UsageError when there is nothing to pack or it is too large.
    """
    files = {path.relative_to(folder).as_posix(): path for path in selected(folder)}
    for name, tree in (extra or {}).items():
        files |= {f"{name}/{path.relative_to(tree).as_posix()}": path for path in _walk(tree, None)}
    if not files:
        raise UsageError(f"{folder} holds nothing to deploy: put main.py there, or check {IGNORE_FILE}")
    return zipped({name: path.read_bytes() for name, path in files.items()})


def zipped(contents: Mapping[str, bytes], limit_bytes: int = LIMIT_BYTES) -> Archive:
    """Archive ``contents`` by name. Raises UsageError when it is larger than the cloud takes."""
    # Stored bytes are the same everywhere, deflated ones depend on the zlib at hand: only for want of room.
    is_large = sum(map(len, contents.values())) > limit_bytes * 9 // 10
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if is_large else zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, contents[name], compress_type=archive.compression)
    data = buffer.getvalue()
    _refuse_large(len(data), limit_bytes)
    return Archive(data, hashlib.sha256(data).hexdigest(), tuple(sorted(contents)))


def selected(folder: Path) -> list[Path]:
    """Return the files to deploy. Symbolic links are left out.

    ``.agentignore`` at the root says what stays behind; without it the usual leavings and ``.gitignore`` do.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: name the one that holds main.py")
    return sorted(_walk(folder, _ignored(folder)))


def _ignored(folder: Path) -> GitIgnoreSpec:
    own = folder / IGNORE_FILE
    if own.is_symlink() or (own.exists() and own.stat().st_size > _IGNORE_FILE_LIMIT):
        raise UsageError(f"{own} is a link or larger than 1 MB: write a plain file of patterns")
    if own.exists():
        return GitIgnoreSpec.from_lines([*_lines(own), *_ALWAYS])
    git = folder / ".gitignore"
    theirs = _lines(git) if git.is_file() and not git.is_symlink() else []
    return GitIgnoreSpec.from_lines([*_DEFAULTS, *theirs, *_ALWAYS])


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()


def _walk(folder: Path, ignored: GitIgnoreSpec | None) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        inner = here.relative_to(folder)
        folders[:] = [
            name
            for name in folders
            if not (here / name).is_symlink() and not _matches(ignored, f"{(inner / name).as_posix()}/")
        ]
        for name in names:
            path = here / name
            if path.is_file() and not path.is_symlink() and not _matches(ignored, (inner / name).as_posix()):
                yield path


def _matches(ignored: GitIgnoreSpec | None, name: str) -> bool:
    return ignored is not None and ignored.match_file(name)


def _refuse_large(size: int, limit_bytes: int = LIMIT_BYTES) -> None:
    if size > limit_bytes:
        raise UsageError(f"the archive has {size / 1e6:.0f} MB, the cloud takes 250: exclude more in {IGNORE_FILE}")
