"""What must never be in the repository: addresses of package registries, paths of one machine, lock files."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tools.repository import ROOT, said

#: Written in pieces, so that this file does not find itself.
REGISTRIES = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npm" + "js.org", "proxy.golang" + ".org"]
#: The home of a session's sandbox is the same everywhere, by the cloud's contract.
HOMES = ["/ho" + r"me/(?!session\b)\w", "/Us" + r"ers/\w", "/ro" + "ot/", r"C:\\Us" + "ers"]
FOLDERS = "(src|tests|migrations|deploy|docs)"
LOCKS = {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml"}


@cache
def tracked() -> tuple[Path, ...]:
    """Return the files that git tracks and that are there."""
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode != 0:
        pytest.skip("this is no checkout: nothing says which files belong to the repository")
    names = said("git", "ls-files", "-z").split("\0")
    return tuple(path for name in names if name and (path := ROOT / name).is_file())


def holding(patterns: list[str]) -> list[str]:
    """Return where a tracked text holds one of ``patterns``."""
    wanted = re.compile("|".join(patterns))
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
            if wanted.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def test_no_file_names_a_package_registry() -> None:
    assert holding([re.escape(host) for host in REGISTRIES]) == []


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert holding([*HOMES, re.escape(str(ROOT)) + "/" + FOLDERS]) == []


def test_no_lock_file_is_tracked() -> None:
    assert [str(path) for path in tracked() if path.name in LOCKS] == []


def test_the_search_finds_what_is_there() -> None:
    assert holding(["^# foundry-" + "rollouts$"]) == ["README.md:1: # foundry-rollouts"]
