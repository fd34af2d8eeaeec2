"""Packs the service of one commit for the tests of upgrades: ``python -m tools.release_archive COMMIT``.

The archive has what ``serve`` and ``db`` need, and the migrations. Packed again, it has the same bytes.
"""

# ruff: noqa: T201 - it speaks to a terminal
import lzma
import re
import subprocess
import sys
from pathlib import Path

from tools.repository import ROOT, said

FOLDER = ROOT / "tests" / "migrations" / "releases"
#: The local Foundry (its folder today, and that of older releases) and the measurements of the judge are left out.
OTHERS = ("src/foundry_emulator", "src/foundry_rollouts/emulator", "src/foundry_rollouts/bench")
PARTS = ("src", "migrations", *(f":(exclude){folder}" for folder in OTHERS))


def pack(commit: str) -> Path:
    """Write the archive of ``commit``, named by its newest migration and by the commit; return its path."""
    name = said("git", "rev-parse", "--short=12", f"{commit}^{{commit}}").strip()
    listed = said("git", "ls-tree", "-r", "--name-only", name, "migrations/versions")
    schema = max(re.findall(r"/(\d{4})_", listed))
    tar = subprocess.run(["git", "archive", name, *PARTS], cwd=ROOT, capture_output=True, check=True).stdout
    path = FOLDER / f"{schema}-{name}.tar.xz"
    path.write_bytes(lzma.compress(tar, preset=9 | lzma.PRESET_EXTREME))
    return path


if __name__ == "__main__":
    print(pack(sys.argv[1]).relative_to(ROOT))
