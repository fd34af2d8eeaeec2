"""The unit is in order as systemd sees it, shuts the service in, and hears from it when it works."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.settings import reference
from patience import PATIENCE
from tools.repository import ROOT, program, said
from tools.system_packages import UNPACKED, environment_of, found

FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "foundry-rollouts.service"
TEXT = UNIT.read_text("utf-8")
PROGRAM = "/opt/foundry-rollouts/bin/foundry-rollouts"
ANALYZE = found("systemd-analyze")
#: The figure of `systemd-analyze security` may grow to this, of 10, as new releases ask for more.
EXPOSURE = 1.5
#: The release whose figure the page names.
MEASURED = "systemd 252"
NEEDS_SYSTEMD = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is missing (Debian: apt-get install systemd): the unit is not verified"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Give a place for a unit of the right name."""
    return tmp_path / UNIT.name


def analysed(unit: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Write ``text`` as ``unit``, with a program that is there, and ask systemd about it."""
    unit.write_text(text.replace(PROGRAM, program("foundry-rollouts")), "utf-8")
    return asked(*words, str(unit))


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask ``systemd-analyze``; where it was unpacked and not installed, its own units are beside it."""
    variables = environment_of("systemd-analyze")
    if shutil.which("systemd-analyze") is None:
        variables["SYSTEMD_UNIT_PATH"] = str(UNPACKED / "lib" / "systemd" / "system")
    command = [ANALYZE or "systemd-analyze", *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False)


def complaints(run: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what it says about our unit; it reads those of the machine too."""
    return [line for line in run.stderr.splitlines() if UNIT.stem in line]


def exposure(unit: Path, text: str) -> float:
    """Return the figure for ``text``."""
    run = analysed(unit, text, "security", "--offline=true", "--no-pager")
    figure = re.search(r"Overall exposure level for \S+: ([\d.]+)", run.stdout)
    assert figure, run.stdout + run.stderr
    return float(figure[1])


@NEEDS_SYSTEMD
def test_systemd_has_nothing_to_say_about_it(unit: Path) -> None:
    assert complaints(analysed(unit, TEXT, "verify")) == []


@NEEDS_SYSTEMD
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("Restart=on-failure", "Restart=sometimes"),
        ("ProtectSystem=strict", "ProtectSytem=strict"),
        (f"ExecStart={PROGRAM}", "ExecStart=/opt/nowhere/foundry-rollouts"),
    ],
)
def test_systemd_finds_a_planted_mistake(good: str, bad: str, unit: Path) -> None:
    assert good in TEXT
    assert complaints(analysed(unit, TEXT.replace(good, bad), "verify")) != []


@NEEDS_SYSTEMD
def test_it_is_shut_in_as_the_page_says(unit: Path) -> None:
    figure = exposure(unit, TEXT)
    assert figure <= EXPOSURE
    if asked("--version").stdout.startswith(f"{MEASURED} "):
        assert f"{figure} of 10 ({MEASURED})" in (ROOT / "deploy" / "README.md").read_text("utf-8")


@NEEDS_SYSTEMD
@pytest.mark.parametrize("line", ["DynamicUser=yes", "SystemCallFilter=@system-service", "CapabilityBoundingSet="])
def test_the_figure_grows_with_each_door_that_is_opened(line: str, unit: Path) -> None:
    assert f"\n{line}\n" in TEXT
    assert exposure(unit, TEXT.replace(f"\n{line}\n", "\n")) > exposure(unit, TEXT)


def test_only_settings_that_exist_are_set() -> None:
    named = set(re.findall(r"FOUNDRY_ROLLOUTS_\w+", TEXT + (FOLDER / "environment.example").read_text("utf-8")))
    assert named - {setting.variable for setting in reference()} == set()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Give the socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE)
        yield listening


#: What the unit asks of the kernel and a process can ask for itself: no new privileges, no memory both written and run.
SHUT_IN = """
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0
prctl(65, 1, 0, 0, 0)  # kernels before 6.3 do not know it
os.umask(0o077)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_it_reports_that_it_works_and_that_it_ends(manager: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("name: p\nagents: ['*']\nsteps: [{weight: 10}, {weight: 100}]\n", "utf-8")
    service = [program("foundry-rollouts")]
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"))) as foundry:
        settings = {
            "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": f"{foundry}/api/projects/local",
            "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
            "FOUNDRY_ROLLOUTS_POLICIES": str(tmp_path / "policy.yaml"),
            "FOUNDRY_ROLLOUTS_LISTEN": "127.0.0.1:0",
            "FOUNDRY_ROLLOUTS_DATABASE_URL": f"sqlite:///{tmp_path}/rollouts.db",
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "TZ": "Nowhere/Known",  # a machine may know no time zones
        }
        variables = os.environ | settings
        assert subprocess.run([*service, "db", "upgrade"], env=variables, check=False).returncode == 0
        entering = [sys.executable, "-c", SHUT_IN, *service, "serve"]
        with subprocess.Popen(entering, env=variables, cwd=tmp_path) as serving:
            try:
                assert manager.recv(100) == b"READY=1"
                serving.send_signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                assert serving.wait(PATIENCE) == 0
            finally:
                serving.kill()


def test_a_manager_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    program_text = "from foundry_rollouts.daemon import _notify; _notify('READY=1')"
    said("env", f"NOTIFY_SOCKET={tmp_path}/gone", sys.executable, "-c", program_text)
