"""Does an archive hold what the cloud will start? Each problem comes with its remedy, before anything is uploaded.

The cloud itself tells most of these only minutes later, as a failed version or as sessions that never open.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.definition import Code
from foundry_rollouts.foundry.packaging import Archive

PACKAGES = "packages/"

_PIP = "pip install --platform manylinux2014_x86_64 --only-binary=:all: --target packages -r requirements.txt"
_FOREIGN = (".pyd", ".dll", ".exe", ".dylib", "-darwin.so")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and one line on how to fix it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def refuse_bad_layout(archive: Archive, code: Code) -> None:
    """Raise UsageError with one line for each problem."""
    if found := problems(archive.names, code):
        raise UsageError("\n".join(str(problem) for problem in found))


def problems(names: Collection[str], code: Code) -> tuple[Problem, ...]:
    """Return what would keep the cloud from starting ``code`` out of files of these names."""
    if wrapper := _wrapper(names):
        # Everything else follows from it and would only be noise.
        return (Problem(f"everything lies inside {wrapper}/", f"deploy the folder {wrapper} itself"),)
    checks = _dotnet_problems if code.runtime.startswith("dotnet") else _python_problems
    return tuple(checks(names, code))


def _wrapper(names: Collection[str]) -> str | None:
    tops = {name.partition("/")[0] for name in names}
    is_flat = any("/" not in name for name in names)
    return None if is_flat or len(tops) != 1 or f"{next(iter(tops))}/" == PACKAGES else next(iter(tops))


def _python_problems(names: Collection[str], code: Code) -> Iterator[Problem]:
    if missing := _missing_start(names, code.entry_point):
        yield Problem(f"the entry point {missing} is not there", "name it with the entry point, or add the file")
    wheels = sorted(name for name in names if name.endswith(".whl"))
    if wheels:
        yield Problem(f"{wheels[0]} is a wheel as it was downloaded", f"install it: {_PIP}")
    foreign = sorted(name for name in names if name.startswith(PACKAGES) and name.lower().endswith(_FOREIGN))
    if foreign:
        yield Problem(f"{foreign[0]} is not made for Linux", f"install for Linux: {_PIP}")
    if code.is_bundled and not wheels and not any(name.startswith(PACKAGES) for name in names):
        yield Problem("bundled code without packages/", f"add them: {_PIP}")
    if not code.is_bundled and "requirements.txt" not in names:
        yield Problem("requirements.txt is not there", "add one, an empty file will do")


def _missing_start(names: Collection[str], entry_point: tuple[str, ...]) -> str | None:
    """Return the file or module that the entry point names and the archive lacks; None when all is well."""
    words = entry_point[1:]
    if not words:
        return " ".join(entry_point) or "(empty)"
    if words[0] == "-m" and len(words) > 1:
        return None if _has_module(names, words[1]) else f"-m {words[1]}"
    scripts = [word for word in words if word.endswith(".py")]
    return next((script for script in scripts[:1] if script.removeprefix("./") not in names), None)


def _has_module(names: Collection[str], module: str) -> bool:
    path = module.replace(".", "/")
    places = (f"{path}.py", f"{path}/__main__.py")
    # A module of a library comes with the requirements; only what is ours can be searched.
    is_ours = any(name.startswith((f"{path.partition('/')[0]}/", f"{path.partition('/')[0]}.py")) for name in names)
    bundled = tuple(PACKAGES + place for place in places)
    return not is_ours or any(place in names for place in (*places, *bundled))


def _dotnet_problems(names: Collection[str], code: Code) -> Iterator[Problem]:
    if "run" in code.entry_point:
        yield Problem("dotnet run needs an SDK, the cloud has none", 'use ["dotnet", "Name.dll"]')
        return
    has_project = any("/" not in name and name.endswith(("proj", ".sln")) for name in names)
    if not code.is_bundled and not has_project:
        yield Problem("no project file at the root", "add Name.csproj, or bundle: dotnet publish -r linux-x64")
    library = code.entry_point[1] if len(code.entry_point) > 1 else "Name.dll"
    if code.is_bundled and library not in names:
        yield Problem(f"{library} is not there", "add the output of dotnet publish -r linux-x64")
