"""Bringing the files of policies of one folder into another, from which a service reads them.

Each file is replaced as a whole: whoever reads it meanwhile sees the old one or the new one. Law: nothing is written
unless all of it is in order, and in order beside the files that stay.
"""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foundry_rollouts.errors import PolicyError, UsageError
from foundry_rollouts.policies.contents import digest_of, is_folder
from foundry_rollouts.policies.load import FileRead, Written, clashes, read


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be copied where, and what the folder will hold."""

    copies: tuple[tuple[Path, Path], ...]  #: Only those that are other files than those that are there.
    removed: tuple[Path, ...]
    before: tuple[Written, ...]
    after: tuple[Written, ...]


def planned(source: Path, target: Path, *, is_pruning: bool = False) -> Plan:
    """Return what it takes to bring the policies of ``source`` to the folder ``target``.

    Raises PolicyError with every problem of ``source``, and where its policies contradict those that stay;
    UsageError where one of the two is not what it has to be.
    """
    if target.exists() and not is_folder(target):
        raise UsageError(f"{target} is a file: name the folder that the service reads its policies from")
    files = read(source)
    problems = tuple(line for file in files for line in file.problems)
    if not files:
        problems = (f"{source}:1:1: there is no policy here: write one, as NAME.yaml",)
    if problems:
        raise PolicyError(problems)
    home = source if is_folder(source) else source.parent
    there = read(target) if target.exists() else ()
    pairs = tuple((path, target / _inside(path, home)) for file in files for path in (file.path, *file.prompts))
    replaced = {to for _, to in pairs}
    others = [file for file in there if file.path not in replaced]
    stay = [] if is_pruning else others
    after = [*_written(files), *_written(stay)]
    if contradictions := clashes(after):
        raise PolicyError(tuple(contradictions))
    return Plan(
        copies=tuple((path, to) for path, to in pairs if digest_of(path) != digest_of(to)),
        removed=tuple(file.path for file in others) if is_pruning else (),
        before=tuple(_written(there)),
        after=tuple(after),
    )


def carry_out(plan: Plan) -> None:
    """Write the files, prompts before the policies that name them.

    Raises UsageError where a file cannot be written; what was written until then is whole, and applying again goes on.
    """
    try:
        for path, to in reversed(plan.copies):
            to.parent.mkdir(parents=True, exist_ok=True)
            _replace(to, path.read_bytes())
        for path in plan.removed:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written, {error.strerror}: apply again once it can") from None


def _inside(path: Path, home: Path) -> Path:
    try:
        return path.resolve().relative_to(home.resolve())
    except ValueError:
        raise PolicyError((f"{path}:1:1: these prompts lie outside of {home}: move them into it",)) from None


def _written(files: Iterable[FileRead]) -> list[Written]:
    return [each for file in files for each in file.written]


def _replace(path: Path, content: bytes) -> None:
    # A name that begins with a dot and has no suffix of ours: nobody takes it for a policy.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
