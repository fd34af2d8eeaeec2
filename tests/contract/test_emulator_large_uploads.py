"""The largest zip the cloud takes: the emulator's memory stays where it was, and one byte more is refused."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from emulated import a_zip, code_definition
from patience import PATIENCE

LIMIT = 250 * 1024 * 1024
GROWTH = 48 * 1024 * 1024

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or not Path("/proc/self/status").exists(), reason="curl and /proc are needed"
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[tuple[str, int]]:
    """Give the address and the process id of an emulator in a process of its own."""
    command = [sys.executable, "-m", "foundry_rollouts", "emulator", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[3].rsplit("/api", 1)[0], process.pid
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def largest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give the largest zip and its hash."""
    file = tmp_path_factory.mktemp("largest") / "agent.zip"
    return file, zip_of(LIMIT, file)


def highest(process: int) -> int:
    """Return the most memory that a process ever held."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def zip_of(size: int, file: Path) -> str:
    """Write a zip of so many bytes, most of them a hole, and return its hash: text before a zip is none of its own."""
    end = a_zip({"main.py": "print(1)", "requirements.txt": ""})
    with file.open("wb") as target:
        target.truncate(size - len(end))
        target.seek(0, 2)
        target.write(end)
    with file.open("rb") as written:
        return hashlib.file_digest(written, "sha256").hexdigest()


def send(base_url: str, agent: str, archive: Path, sha256: str) -> tuple[int, dict[str, object]]:
    (archive.parent / "metadata.json").write_text(json.dumps({"definition": code_definition("bundled")}))
    arguments = [
        *("curl", "-sS", "-X", "POST", f"{base_url}/api/projects/p/agents/{agent}/versions?api-version=v1"),
        *("-H", "Authorization: Bearer x", "-H", f"x-ms-code-zip-sha256: {sha256}", "-w", "\n%{http_code}"),
        *("-F", "metadata=@metadata.json;type=application/json", "-F", f"code=@{archive.name};type=application/zip"),
    ]
    done = subprocess.run(arguments, cwd=archive.parent, capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize("fault", [{}, {"status": 504, "apply_after": 0}])
def test_250_mb_pass_at_flat_memory(
    emulator: tuple[str, int], largest: tuple[Path, str], fault: dict[str, object]
) -> None:
    base_url, process = emulator
    if fault:
        planted = {"operation": "versions.create", "times": 1, **fault}
        assert httpx.post(f"{base_url}/_emulator/faults", json=planted).status_code == 201
    before = highest(process)
    assert send(base_url, f"large-{len(fault)}", *largest)[0] == fault.get("status", 200)
    assert highest(process) - before < GROWTH


def test_one_byte_more_is_refused(emulator: tuple[str, int], tmp_path: Path) -> None:
    sha256 = zip_of(LIMIT + 1, tmp_path / "agent.zip")
    status, body = send(emulator[0], "larger", tmp_path / "agent.zip", sha256)
    assert status == 400
    assert isinstance(error := body["error"], dict)
    assert (error["param"], error["message"]) == ("code", "The code zip may have at most 250 MB.")
