"""Whether a file is still what it was when it was read, and whether it is there at all.

A path in a policy comes from outside: it may be endless, lie in a folder that nobody may enter, or be no file.
"""

from hashlib import blake2b
from pathlib import Path

LARGEST_FILE = 1_000_000  #: Bytes; a policy has some dozens of lines.


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


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder that can be reached; raises nothing."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:200]}…"
