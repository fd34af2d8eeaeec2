"""Builds: what a zip must hold, and how a version fails that does not. ``dotnet`` is a stand-in where it runs."""

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulated import AGENT, a_zip, ask, code_definition, deploy, refusal, settled, text_of, upload

LINK = "See https://aka.ms/hosted-agents-build-errors"
PROJECT = "<Project Sdk='Microsoft.NET.Sdk'><PropertyGroup>{}</PropertyGroup></Project>"
NET10 = PROJECT.format("<TargetFramework>net10.0</TargetFramework>")
#: Builds what is Python under a name of .NET, and runs it; like the real one it fails on a package that is not there.
STAND_IN = """#!/bin/sh
if [ "$1" = publish ]; then
    if grep -q Missing.Package "$2"; then
        echo "  Determining projects to restore..."
        echo "$PWD/$2 : error NU1101: Unable to find package Missing.Package. No packages exist with this id."
        echo "Build failed with 1 error(s) in 0.3s"
        exit 1
    fi
    mkdir -p "$6"
    cp Program.cs "$6/${2%.csproj}.dll"
    echo '{}' > "$6/${2%.csproj}.runtimeconfig.json"
    exit 0
fi
exec python3 "$@"
"""


@pytest.fixture
def cloud(cloud: httpx.Client) -> Iterator[httpx.Client]:
    """Give the client of a project whose processes end with the test."""
    yield cloud
    cloud.delete("/agents/a", params={"force": "true"})


@pytest.fixture
def dotnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dotnet"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def no_dotnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = [each for each in os.environ["PATH"].split(os.pathsep) if not (Path(each) / "dotnet").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))


def built(
    cloud: httpx.Client, files: Mapping[str, str], resolution: str = "remote_build", **code: Any
) -> tuple[str, str, str]:
    """Return status, error code and message of a version made of these files alone."""
    definition = code_definition(resolution)
    definition["code_configuration"].update(code)
    created = upload(cloud, "/agents/a/versions", a_zip(files), definition)
    assert created.status_code == 200, created.text
    version = settled(cloud, created.json())
    error = version.get("error") or {"code": "", "message": ""}
    return version["status"], error["code"], error["message"]


@pytest.mark.parametrize(
    ("files", "resolution", "says"),
    [
        (
            {"my-agent/main.py": AGENT, "my-agent/requirements.txt": ""},
            "remote_build",
            "entry point file 'main.py' is not in the zip; everything is in the folder 'my-agent/'",
        ),
        ({"app.py": AGENT, "requirements.txt": ""}, "bundled", "entry point file 'main.py' is not in the zip"),
        ({"main.py": AGENT}, "remote_build", "requirements.txt is not at the root of the zip"),
        ({"main.py": AGENT, "packages/x-1-py3-none-any.whl": "PK"}, "bundled", "raw wheel (x-1-py3-none-any.whl)"),
        (
            {"main.py": "print(", "requirements.txt": ""},
            "remote_build",
            "SyntaxError: '(' was never closed (main.py, line 1)",
        ),
        (
            {"main.py": "import other", "other.py": "def f(:"},
            "bundled",
            "SyntaxError: invalid syntax (other.py, line 1)",
        ),
        ({"main.py": "\0"}, "bundled", "null bytes"),
    ],
)
def test_a_bad_layout_fails_the_version_with_its_last_line(
    cloud: httpx.Client, files: dict[str, str], resolution: str, says: str
) -> None:
    status, code, message = built(cloud, files, resolution)
    assert (status, code) == ("failed", "CodeError")
    assert says in message
    assert "(exit code " in message
    assert message.endswith(LINK)


@pytest.mark.parametrize(
    "files",
    [
        {"main.py": AGENT, "templates/page.py": "{{ not python }}"},
        {"src/main.py": AGENT},
        {"app/__main__.py": AGENT},
    ],
)
def test_what_is_no_mistake_is_built(cloud: httpx.Client, files: dict[str, str]) -> None:
    place = next(iter(files)).removesuffix("/__main__.py")
    assert built(cloud, files, "bundled", entry_point=["python", "-X", "dev", place])[0] == "active"
    assert text_of(ask(cloud, "hi")) == "1 says hi"


def test_without_the_check_a_bad_layout_fails_its_sessions(cloud: httpx.Client, base_url: str) -> None:
    httpx.patch(f"{base_url}/_emulator/switches", json={"checks_layout": False})
    try:
        assert built(cloud, {"my-agent/main.py": AGENT}, "bundled")[0] == "active"
    finally:
        httpx.patch(f"{base_url}/_emulator/switches", json={"checks_layout": True})
    assert refusal(ask(cloud))[:2] == (500, "session_creation_failed")


@pytest.mark.parametrize("data", [b"no zip", a_zip({"../escape.py": "x"}), a_zip({"main.py": AGENT})[:-40]])
def test_an_archive_that_is_none_fails_the_version(cloud: httpx.Client, data: bytes) -> None:
    version = settled(cloud, upload(cloud, "/agents/a/versions", data).json())
    assert (version["status"], version["error"]["code"]) == ("failed", "CodeError")


def test_a_damaged_archive_fails_the_version(cloud: httpx.Client) -> None:
    whole = bytearray(a_zip({"main.py": AGENT, "requirements.txt": ""}))
    whole[200] ^= 0xFF
    version = settled(cloud, upload(cloud, "/agents/a/versions", bytes(whole)).json())
    assert (version["status"], version["error"]["code"]) == ("failed", "CodeError")
    assert "cannot be read" in version["error"]["message"]


def test_an_archive_that_would_fill_the_disk_fails_the_version(cloud: httpx.Client) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", AGENT)
        archive.filelist[0].file_size = 3 << 30
    version = settled(cloud, upload(cloud, "/agents/a/versions", buffer.getvalue()).json())
    assert version["error"]["message"].startswith("the code archive unpacks to more than 2 GB")


DOTNET: dict[str, Any] = {"runtime": "dotnet_10", "entry_point": ["dotnet", "MyAgent.dll"]}
PUBLISHED = {"MyAgent.dll": AGENT, "MyAgent.runtimeconfig.json": "{}"}


@pytest.mark.parametrize(
    ("files", "resolution", "change", "says"),
    [
        ({"Program.cs": "x"}, "remote_build", {}, "there is no project file"),
        ({"my-agent/MyAgent.csproj": NET10}, "remote_build", {}, "everything is in the folder 'my-agent/'"),
        ({"MyAgent.csproj": NET10, "Test.csproj": NET10}, "remote_build", {}, "MyAgent.csproj, Test.csproj"),
        ({"Other.csproj": NET10}, "remote_build", {}, "builds 'Other.dll', but the entry point names 'MyAgent.dll'"),
        ({"MyAgent.csproj": NET10}, "remote_build", {"runtime": "dotnet_8"}, "targets net10.0"),
        ({"MyAgent.csproj": NET10}, "remote_build", {"entry_point": ["dotnet", "run"]}, "the published assembly"),
        ({"MyAgent.dll": "x"}, "bundled", {}, "'MyAgent.runtimeconfig.json' is not at the root"),
        ({"publish/MyAgent.dll": "x"}, "bundled", {}, "everything is in the folder 'publish/'"),
    ],
)
@pytest.mark.usefixtures("no_dotnet")
def test_the_layout_of_dotnet_is_checked_without_dotnet(
    cloud: httpx.Client, files: dict[str, str], resolution: str, change: dict[str, object], says: str
) -> None:
    status, code, message = built(cloud, files, resolution, **{**DOTNET, **change})
    assert (status, code) == ("failed", "CodeError")
    assert says in message


@pytest.mark.parametrize(("files", "resolution"), [({"MyAgent.csproj": NET10}, "remote_build"), (PUBLISHED, "bundled")])
@pytest.mark.usefixtures("no_dotnet")
def test_a_good_layout_says_that_dotnet_is_missing(cloud: httpx.Client, files: dict[str, str], resolution: str) -> None:
    status, code, message = built(cloud, files, resolution, **DOTNET)
    assert (status, code) == ("failed", "ProvisioningError")
    assert message.startswith("dotnet is not on the PATH of the local Foundry")


@pytest.mark.parametrize(
    ("files", "resolution"),
    [
        ({"MyAgent.csproj": NET10, "Program.cs": AGENT}, "remote_build"),
        (
            {"MyAgent.csproj": PROJECT.format("<AssemblyName>MyAgent</AssemblyName>"), "Program.cs": AGENT},
            "remote_build",
        ),
        (PUBLISHED, "bundled"),
    ],
)
@pytest.mark.usefixtures("dotnet")
def test_dotnet_builds_and_runs_where_it_is(cloud: httpx.Client, files: dict[str, str], resolution: str) -> None:
    assert built(cloud, files, resolution, **DOTNET) == ("active", "", "")
    assert text_of(ask(cloud, "hi")) == "1 says hi"


@pytest.mark.usefixtures("dotnet")
def test_a_package_that_is_not_there_is_named_by_nuget_s_own_line(cloud: httpx.Client) -> None:
    files = {"MyAgent.csproj": NET10.replace("net10.0<", "net10.0<!-- Missing.Package --><"), "Program.cs": ""}
    status, code, message = built(cloud, files, **DOTNET)
    assert (status, code) == ("failed", "CodeError")
    assert "error NU1101: Unable to find package Missing.Package." in message
    assert message.endswith(f"(exit code 1). {LINK}")


def test_requirements_are_demanded_of_nobody_who_bundles(cloud: httpx.Client) -> None:
    assert deploy(cloud, {"main.py": AGENT}, code_definition("bundled"))["status"] == "active"
