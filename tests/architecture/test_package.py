"""What is installed elsewhere is whole, and what it needs is pinned."""

import re
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from clean_install import wheel_of
from tools.repository import EMULATOR, PACKAGE, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EMULATORS_PROJECT = tomllib.loads((EMULATOR / "pyproject.toml").read_text("utf-8"))


def test_the_wheel_holds_the_migrations_every_file_of_the_package_and_nothing_else(tmp_path: Path) -> None:
    expected = {f"foundry_rollouts/{path.relative_to(PACKAGE)}" for path in files_of(PACKAGE)}
    expected |= {f"foundry_rollouts/{path.relative_to(ROOT)}" for path in files_of(ROOT / "migrations")}
    assert held_by(wheel_of(ROOT, tmp_path)) == expected


def test_the_emulators_wheel_holds_every_file_of_its_package(tmp_path: Path) -> None:
    expected = {f"foundry_emulator/{path.relative_to(EMULATOR)}" for path in files_of(EMULATOR)}
    assert held_by(wheel_of(EMULATOR, tmp_path)) == expected - {"foundry_emulator/pyproject.toml"}


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, f"foundry-rollouts-emulator @ {EMULATOR.as_uri()}"),
        ({"EMULATOR_RELEASE": "==0.1.0"}, "foundry-rollouts-emulator==0.1.0"),
    ],
)
def test_the_extra_means_the_folder_of_a_checkout_or_the_release(
    variables: dict[str, str], wanted: str, tmp_path: Path
) -> None:
    wheel = zipfile.ZipFile(wheel_of(ROOT, tmp_path, **variables))
    (metadata,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    requirements = message_from_bytes(wheel.read(metadata)).get_all("Requires-Dist") or []
    asked = [re.split(r" *; *", each) for each in requirements if each.startswith("foundry-rollouts-emulator")]
    assert asked == [[wanted, "extra == 'emulator'"]]


def test_service_and_emulator_are_released_together(tmp_path: Path) -> None:
    assert EMULATORS_PROJECT["project"]["dynamic"] == ["version"]
    version = PROJECT["project"]["version"]
    assert wheel_of(EMULATOR, tmp_path).name == f"foundry_rollouts_emulator-{version}-py3-none-any.whl"
    assert wheel_of(ROOT, tmp_path / "service").name == f"foundry_rollouts-{version}-py3-none-any.whl"


def test_the_changelog_has_a_section_for_the_present_version_or_one_that_is_to_come() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    sections = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    released = [name for name, date in sections[1:] if date]
    assert released[0] == PROJECT["project"]["version"]
    assert [name for name, _ in sections] == re.findall(r"^\[(.+?)\]: \S+$", text, re.MULTILINE)


def test_service_and_emulator_agree_on_what_both_need() -> None:
    ours, theirs = set(PROJECT["project"]["dependencies"]), set(EMULATORS_PROJECT["project"]["dependencies"])
    assert [each for each in theirs - ours if names([each]) & names(list(ours))] == []


def held_by(wheel: Path) -> set[str]:
    """Return the files of a wheel, those about the wheel itself left out."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def files_of(folder: Path) -> list[Path]:
    """Return the files of ``folder`` that belong to it."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def test_every_dependency_is_pinned_for_those_who_install_without_the_index() -> None:
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["postgres"]
    assert names(wanted) - pinned("deploy/requirements.txt") == set()
    wanted += EMULATORS_PROJECT["project"]["dependencies"]
    assert names(wanted) - pinned("deploy/requirements-demo.txt") == set()
    assert names([*wanted, *PROJECT["dependency-groups"]["dev"]]) - pinned("tests/requirements.txt") == set()


def test_only_the_demonstration_pins_what_the_emulator_needs() -> None:
    more = pins("deploy/requirements-demo.txt") - pins("deploy/requirements.txt")
    assert {name for name, _ in more} == {"python-multipart", "trustme"}
    assert pins("deploy/requirements.txt") - pins("deploy/requirements-demo.txt") == set()


@pytest.mark.parametrize(
    "file",
    [str(file.relative_to(ROOT)) for name in ("deploy", "tests") for file in ROOT.glob(f"{name}/requirements*.txt")],
)
def test_every_pin_has_a_hash_and_none_an_address(file: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / file).read_text("utf-8").strip())
    assert [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert [entry for entry in entries if "://" in entry] == []


def names(requirements: list[str]) -> set[str]:
    """Return the normalised names of requirements."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ;]", each)[0].lower()) for each in requirements}


def pinned(file: str) -> set[str]:
    """Return the normalised names that a requirements file pins."""
    return names([name for name, _ in pins(file)])


def pins(file: str) -> set[tuple[str, str]]:
    """Return what a requirements file pins, and to which version."""
    return set(re.findall(r"^([\w.\[\],-]+)==(\S+)", (ROOT / file).read_text("utf-8"), re.MULTILINE))
