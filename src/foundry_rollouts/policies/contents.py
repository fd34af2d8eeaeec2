"""Whether a file is still what it was when it was read, and whether it is there at all.

A path in a policy comes from outside: it may be endless, lie in a folder that nobody may enter, or be no file.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path

SUFFIXES = frozenset({".yaml", ".yml"})
LARGEST_FILE = 1_000_000  #: Bytes; a policy has some dozens of lines.
#: A file that was written this shortly before it was seen may be written again without a newer time stamp.
SETTLED = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a file was when it was seen: its marks in the file system, and a text that follows what it holds."""

    marks: tuple[int, ...]  #: Empty where its time stamps prove nothing.
    digest: str


def seen(path: Path, settled: timedelta = SETTLED) -> Seen:
    """Return what ``path`` is now; raises nothing."""
    marks = _marks(path, settled)
    return Seen(marks, digest_of(path))


def is_as_seen(path: Path, before: Seen, settled: timedelta = SETTLED) -> bool:
    """Return whether ``path`` holds what it held; a file whose marks are the same is not opened."""
    if before.marks and _marks(path, settled) == before.marks:
        return True
    return digest_of(path) == before.digest


def _marks(path: Path, settled: timedelta) -> tuple[int, ...]:
    """Return device, number, size and times of a file that has rested for a while; else nothing."""
    now = time.time_ns()
    try:
        found = path.stat()
    except OSError:
        return ()
    if now - max(found.st_mtime_ns, found.st_ctime_ns) < settled.total_seconds() * 1e9:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def digest_of(path: Path) -> str:
    """Return a text that changes when what ``path`` holds changes, or whether it can be read; raises nothing."""
    try:
        if not path.is_file():
            return "no file"
        size = path.stat().st_size
        return f"{size} bytes" if size > LARGEST_FILE else blake2b(path.read_bytes()).hexdigest()
    except OSError as error:
        return str(error.errno)


def why_not_a_file(path: Path) -> str | None:
    """Say why ``path`` is no file that can be read; None when it is one."""
    try:
        return None if path.is_file() else f"there is no file {path}"
    except OSError as error:
        return f"{_short(path)} cannot be reached, {error.strerror}"


def is_lost_link(path: Path) -> bool:
    """Return whether ``path`` has the name of a policy file and leads nowhere, in a circle or to a device.

    Links whose names begin with a dot are those of editors.
    """
    is_ours = path.suffix in SUFFIXES and not path.name.startswith(".")
    return is_ours and path.is_symlink() and not path.is_file() and not is_folder(path)


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder that can be reached; raises nothing."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:200]}…"
