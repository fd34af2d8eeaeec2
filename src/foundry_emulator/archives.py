"""Unpacks uploaded zips; whatever is in one, nothing is written outside the folder it is unpacked to."""

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from foundry_emulator.errors import build_failed

_UNREADABLE = (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError, zlib.error, lzma.LZMAError)
_UNPACKED_BYTES = 2 << 30


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip into a folder that is made anew; raise ``BuildError`` for one that cannot be."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            # No entry is read beyond the size that it declares.
            if sum(entry.file_size for entry in opened.infolist()) > _UNPACKED_BYTES:
                raise build_failed("the code archive unpacks to more than 2 GB")
            for entry in opened.infolist():
                _extract(opened, entry, target)
    except _UNREADABLE as error:
        raise build_failed(f"the code archive cannot be read: {error}") from error


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        return
    path = (target / entry.filename).resolve()
    if not path.is_relative_to(target.resolve()):
        raise build_failed(f"the code archive holds an unsafe path: {entry.filename}")
    archive.extract(entry, target)
    if mode & 0o111 and path.is_file():
        path.chmod(0o755)
