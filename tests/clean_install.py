"""A virtual environment as ``pip install`` makes it, without an index.

It holds wheels and what they ask for, directly and indirectly, each linked from the environment of the tests.
"""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution, distribution
from importlib.util import cache_from_source
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from patience import PATIENCE
from tools.repository import said


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class CleanInstall:
    """An environment in ``folder``; ``installed`` are the names of the distributions in it."""

    folder: Path
    installed: frozenset[str]

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def run(self, *words: str, inside: Path, **variables: str) -> Ended:
        """Run ``foundry-rollouts`` in the folder ``inside``, with no setting but ``variables``."""
        done = subprocess.run(
            [self.python, "-m", "foundry_rollouts", *words],
            cwd=inside,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables of this process without settings and paths of ours, and with ``variables``."""
        ours = ("FOUNDRY_", "PYTHON", "COVERAGE")
        return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | variables


def install(wheel: Path, folder: Path, *more: Path) -> CleanInstall:
    """Make an environment in ``folder`` with ``wheel``, ``more`` wheels and what they need, without extras."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    python = str(folder / "bin" / "python")
    packages = Path(said(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for one in (wheel, *more):
        zipfile.ZipFile(one).extractall(packages)
    ours = [PathDistribution(info) for info in packages.glob("*.dist-info")]
    needed = {str(each.name): each for owner in ours for each in closure(owner, frozenset())}
    for each in needed.values():
        link(each, packages)
    program = folder / "bin" / "foundry-rollouts"
    program.write_text(f"#!{python}\nfrom foundry_rollouts.cli import run\n\nrun()\n", "utf-8")
    program.chmod(0o755)
    return CleanInstall(folder, frozenset(canonicalize_name(name) for name in (*needed, *(each.name for each in ours))))


def closure(of: Distribution, extras: frozenset[str]) -> Iterator[Distribution]:
    """Yield what ``of`` needs with ``extras``, down to the last."""
    waiting, done = [(of, extras)], set[tuple[str, frozenset[str]]]()
    while waiting:
        parent, chosen = waiting.pop()
        for text in parent.requires or ():
            wanted = Requirement(text)
            of_wanted = (canonicalize_name(wanted.name), frozenset(wanted.extras))
            if of_wanted in done or not is_needed(wanted, chosen):
                continue
            done.add(of_wanted)
            found = distribution(wanted.name)
            waiting.append((found, frozenset(wanted.extras)))
            yield found


def is_needed(wanted: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement counts on this machine with one of ``extras``."""
    return wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in (extras or {""}))


def link(source: Distribution, packages: Path) -> None:
    """Lay links to all modules of ``source`` into ``packages``; programs are left out."""
    for file in source.files or ():
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        origin = Path(str(source.locate_file(file)))
        parts = [origin]
        if origin.suffix == ".py" and (compiled := Path(cache_from_source(str(origin)))).exists():
            parts.append(compiled)  # each process would compile it anew otherwise, until one has kept it
        for part in parts:
            target = packages / file.parent / part.relative_to(origin.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(part)


def wheel_of(project: Path, folder: Path, **variables: str) -> Path:
    """Build the wheel of ``project`` into ``folder`` and return its path."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=project,
        env=os.environ | variables,
        capture_output=True,
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel
