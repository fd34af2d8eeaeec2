"""What is installed elsewhere is whole, and what it needs is pinned."""

import re
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.repository import PACKAGE, ROOT, said

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_the_wheel_holds_the_migrations_and_every_file_of_the_package(tmp_path: Path) -> None:
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is missing: no wheel is built")
    said(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"foundry_rollouts/{path.relative_to(PACKAGE)}" for path in files_of(PACKAGE)}
    expected |= {f"foundry_rollouts/{path.relative_to(ROOT)}" for path in files_of(ROOT / "migrations")}
    assert {name for name in held if name.startswith("foundry_rollouts/")} == expected


def files_of(folder: Path) -> list[Path]:
    """Return the files of ``folder`` that belong to it."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_every_dependency_is_pinned_for_those_who_install_without_the_index() -> None:
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["postgres"]
    assert names(wanted) - pinned("deploy/requirements.txt") == set()
    assert names([*wanted, *PROJECT["dependency-groups"]["dev"]]) - pinned("tests/requirements.txt") == set()


@pytest.mark.parametrize("file", ["deploy/requirements.txt", "tests/requirements.txt"])
def test_every_pin_has_a_hash_and_none_an_address(file: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / file).read_text("utf-8").strip())
    assert [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert [entry for entry in entries if "://" in entry] == []


def names(requirements: list[str]) -> set[str]:
    """Return the normalised names of requirements."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ;]", each)[0].lower()) for each in requirements}


def pinned(file: str) -> set[str]:
    """Return the normalised names that a requirements file pins."""
    return names(re.findall(r"^([\w.\[\],-]+)==", (ROOT / file).read_text("utf-8"), re.MULTILINE))
