"""Archives that the cloud could not start are reported before they are sent, each with its remedy."""

import pytest

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.definition import Code
from foundry_rollouts.foundry.layout import problems, refuse_bad_layout
from foundry_rollouts.foundry.packaging import zipped

REMOTE = Code()
BUNDLED = Code(is_bundled=True)


def of(*words: str, runtime: str = "python_3_13", bundled: bool = False) -> Code:
    return Code(runtime, words, bundled)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["main.py", "requirements.txt"], REMOTE),
        (["main.py", "packages/a/__init__.py"], BUNDLED),
        (["src/app.py", "requirements.txt"], of("python", "src/app.py")),
        (["app/__main__.py", "requirements.txt"], of("python", "-m", "app")),
        (["main.py", "requirements.txt"], of("python", "-m", "uvicorn", "main:app")),
        (["main.py", "requirements.txt"], of("python", "./main.py")),
        (["Name.dll", "x/native.dll"], of("dotnet", "Name.dll", runtime="dotnet_10", bundled=True)),
        (["Name.csproj", "Program.cs"], of("dotnet", "Name.dll", runtime="dotnet_10")),
    ],
)
def test_what_the_cloud_can_start_has_no_problem(names: list[str], code: Code) -> None:
    assert problems(names, code) == ()


@pytest.mark.parametrize(
    ("names", "code", "what", "remedy"),
    [
        (["agent/main.py", "agent/requirements.txt"], REMOTE, "inside agent/", "deploy the folder agent"),
        (["requirements.txt"], REMOTE, "main.py is not there", "entry point"),
        (["main.py", "requirements.txt"], of("python"), "entry point python", "entry point"),
        (["main.py", "requirements.txt"], of(), "entry point (empty)", "entry point"),
        (["app/x.py", "requirements.txt"], of("python", "-m", "app"), "-m app", "entry point"),
        (["main.py"], REMOTE, "requirements.txt is not there", "an empty file"),
        (["main.py"], BUNDLED, "without packages/", "manylinux2014_x86_64"),
        (["main.py", "packages/a-1-py3-none-any.whl"], BUNDLED, "a-1-py3-none-any.whl is a wheel", "install it"),
        (["main.py", "packages/a/_x.cp313-win_amd64.pyd"], BUNDLED, "not made for Linux", "manylinux2014_x86_64"),
        (["main.py", "packages/a/_x.cpython-313-darwin.so"], BUNDLED, "not made for Linux", "--only-binary"),
        (["Name.csproj"], of("dotnet", "run", runtime="dotnet_10"), "dotnet run", "Name.dll"),
        (["Program.cs"], of("dotnet", "Name.dll", runtime="dotnet_10"), "no project file", "csproj"),
        (["Other.dll"], of("dotnet", "Name.dll", runtime="dotnet_10", bundled=True), "Name.dll is not", "linux-x64"),
    ],
)
def test_each_problem_comes_with_its_mend(names: list[str], code: Code, what: str, remedy: str) -> None:
    (found,) = problems(names, code)
    assert what in found.what
    assert remedy in found.remedy
    assert "\n" not in str(found)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(UsageError) as told:
        refuse_bad_layout(zipped({"x.txt": b""}), REMOTE)
    assert len(str(told.value).splitlines()) == 2
    refuse_bad_layout(zipped({"main.py": b"", "requirements.txt": b""}), REMOTE)
