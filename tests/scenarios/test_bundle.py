"""Libraries bundled for Linux, from a folder of wheels instead of a network."""

import zipfile
from pathlib import Path

import pytest

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.bundle import pack_bundled
from foundry_rollouts.foundry.definition import Code
from foundry_rollouts.foundry.layout import problems

CODE = Code(is_bundled=True)


def a_wheel(folder: Path, name: str, tag: str = "py3-none-any") -> None:
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "VALUE = 1\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main\n")
        wheel.writestr(f"{info}/RECORD", "")


def an_agent(folder: Path, *libraries: str) -> Path:
    (folder / "wheels").mkdir(parents=True)
    (folder / "main.py").write_text("import tiny\n")
    (folder / ".agentignore").write_text("wheels/\n")
    links = f"--no-index\n--find-links {folder / 'wheels'}\n"
    (folder / "requirements.txt").write_text(links + "\n".join(libraries))
    return folder


async def test_libraries_lie_open_under_packages_and_nothing_of_this_machine_with_them(tmp_path: Path) -> None:
    folder = an_agent(tmp_path / "one", "tiny")
    a_wheel(folder / "wheels", "tiny")
    said: list[str] = []
    archive = await pack_bundled(folder, CODE, said.append)
    assert archive.names == (
        "main.py",
        "packages/tiny-1.0.dist-info/METADATA",
        "packages/tiny-1.0.dist-info/WHEEL",
        "packages/tiny-1.0.dist-info/entry_points.txt",
        "packages/tiny/__init__.py",
        "requirements.txt",
    )
    assert problems(archive.names, CODE) == ()
    assert said
    assert (await pack_bundled(folder, CODE)).sha256 == archive.sha256


async def test_a_library_for_linux_is_taken_and_one_for_windows_refused(tmp_path: Path) -> None:
    folder = an_agent(tmp_path, "linuxy")
    a_wheel(folder / "wheels", "linuxy", "cp313-cp313-manylinux2014_x86_64")
    assert "packages/linuxy/__init__.py" in (await pack_bundled(folder, CODE)).names
    windows = an_agent(tmp_path / "w", "windowsy")
    a_wheel(windows / "wheels", "windowsy", "cp313-cp313-win_amd64")
    with pytest.raises(UsageError, match="cannot be bundled for Linux"):
        await pack_bundled(windows, CODE)


async def test_only_python_with_its_requirements_can_be_bundled(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"requirements\.txt is not there"):
        await pack_bundled(tmp_path, CODE)
    (tmp_path / "requirements.txt").write_text("")
    with pytest.raises(UsageError, match="only Python"):
        await pack_bundled(tmp_path, Code("dotnet_10", ("dotnet", "N.dll"), is_bundled=True))
