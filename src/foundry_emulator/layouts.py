"""What a zip must hold to be built or run, by runtime and by the way its dependencies are resolved.

The document on source code gives the layouts and the common mistakes; the words of the errors are the emulator's own.
"""

import re
from pathlib import Path
from typing import Any

from foundry_emulator.errors import build_failed

_PROJECTS = ("*.csproj", "*.fsproj", "*.vbproj")
_ASSEMBLY = re.compile(r"<AssemblyName>\s*([^<\s$]+)\s*</AssemblyName>")
_FRAMEWORK = re.compile(r"<TargetFrameworks?>\s*([^<$]+?)\s*</TargetFrameworks?>")


def refuse_layout(app: Path, code: dict[str, Any]) -> None:
    """Raise ``BuildError`` for an unpacked zip that lacks what this code configuration needs."""
    if is_dotnet(code):
        _refuse_dotnet(app, code)
    else:
        _refuse_python(app, code)


def is_dotnet(code: dict[str, Any]) -> bool:
    """Tell whether the runtime is .NET."""
    return str(code["runtime"]).startswith("dotnet")


def is_remote(code: dict[str, Any]) -> bool:
    """Tell whether the service builds the code."""
    return bool(code["dependency_resolution"] == "remote_build")


def script_of(code: dict[str, Any]) -> str | None:
    """Return the file that a Python entry point starts; None where it starts a module, or another program."""
    program, *arguments = code["entry_point"]
    if program not in ("python", "python3"):
        return None
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option in ("-m", "-c"):
            return None
        if option in ("-X", "-W") and arguments:
            arguments.pop(0)
    return arguments[0] if arguments else None


def project_file(app: Path) -> Path:
    """Return the one project file at the root of a .NET zip."""
    found = sorted(file for pattern in _PROJECTS for file in app.glob(pattern))
    if not found:
        raise build_failed(f"there is no project file (such as MyAgent.csproj) at the root of the zip{_wrapper(app)}")
    if len(found) > 1:
        raise build_failed(
            f"there are several project files at the root of the zip: {', '.join(f.name for f in found)}"
        )
    return found[0]


def _refuse_python(app: Path, code: dict[str, Any]) -> None:
    script = script_of(code)
    if script is not None and not (app / script).exists():
        raise build_failed(f"entry point file '{script}' is not in the zip{_wrapper(app)}")
    if is_remote(code) and not (app / "requirements.txt").is_file():
        raise build_failed(f"requirements.txt is not at the root of the zip: remote_build needs it{_wrapper(app)}")
    wheels = sorted(wheel.name for wheel in (app / "packages").glob("*.whl"))
    if wheels and not is_remote(code):
        raise build_failed(
            f"packages/ holds a raw wheel ({wheels[0]}): unpack it, as pip install --target packages/ does"
        )


def _refuse_dotnet(app: Path, code: dict[str, Any]) -> None:
    program, *arguments = code["entry_point"]
    assembly = arguments[0] if arguments else ""
    if program == "dotnet" and not assembly.endswith(".dll"):
        raise build_failed(
            'the entry point must name the published assembly: ["dotnet", "MyAgent.dll"], not dotnet run'
        )
    if is_remote(code):
        _refuse_project(project_file(app), code, assembly)
    elif program == "dotnet":
        refuse_output(app, assembly)


def refuse_output(app: Path, assembly: str) -> None:
    """Raise ``BuildError`` where the output of ``dotnet publish`` lacks the assembly or what starts it."""
    for name in (assembly, assembly.removesuffix(".dll") + ".runtimeconfig.json"):
        if not (app / name).is_file():
            raise build_failed(f"'{name}' is not at the root of the published output{_wrapper(app)}")


def _refuse_project(project: Path, code: dict[str, Any], assembly: str) -> None:
    text = project.read_text("utf-8-sig", "replace")
    named = _ASSEMBLY.search(text)
    built = f"{named[1] if named else project.stem}.dll"
    if assembly and assembly != built:
        raise build_failed(f"{project.name} builds '{built}', but the entry point names '{assembly}'")
    frameworks = _FRAMEWORK.search(text)
    wanted = f"net{str(code['runtime']).removeprefix('dotnet_')}.0"
    if frameworks and wanted not in frameworks[1].split(";"):
        raise build_failed(f"{project.name} targets {frameworks[1]}, but the runtime {code['runtime']} needs {wanted}")


def _wrapper(app: Path) -> str:
    found = [entry for entry in app.iterdir() if entry.name != "__MACOSX"]
    if len(found) == 1 and found[0].is_dir():
        return f"; everything is in the folder '{found[0].name}/', and the zip must be flat at its root"
    return ""
