"""The images as they are shipped: built from the repository, and run as they are run in production.

User 10001, process 1, a root that cannot be written to, no shell, nothing but the state's folder to write to.
"""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from image.building import Image, Workshop
from image.running import Container, terminate
from readiness import until_ready
from tools.repository import ROOT

pytestmark = pytest.mark.timeout(1800)  # three builds, on a busy machine and with a far index

OURS = Path("opt", "foundry-rollouts")
HEALTH = json.loads(
    re.findall(r"^HEALTHCHECK .*?CMD (\[.+?\])$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE | re.DOTALL)[0]
)
#: Bytes that our files may take, beyond those of the base. A guard against what comes in unseen, not a wish. Of 194
#: million some 20 are apprise with its parts, 12 aiohttp with its own, and 12 what reads calendars.
ROOM = 210_000_000


def size_of(folder: Path) -> int:
    """Return the bytes of all files in ``folder``."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def surplus(root: Path) -> Iterator[str]:
    """Yield what the controller's image has no use for, and what its user could change."""
    packages = next((root / OURS / "lib").glob("python*")) / "site-packages"
    unwanted = ("pip", "setuptools", "hatchling", "foundry_emulator", "trustme", "multipart")
    yield from (f"{name} is installed" for name in unwanted if (packages / name).exists())
    programs = {path.name for path in (root / OURS / "bin").iterdir() if not path.name.startswith("python")}
    yield from (f"{name} is a program" for name in sorted(programs - {"foundry-rollouts"}))
    yield from (f"{name} was left behind" for name in ("build", "wheels", "state") if (root / name).exists())
    for path in (root / OURS).rglob("*"):
        about = path.lstat()
        if not path.is_symlink() and (about.st_uid, about.st_gid, about.st_mode & 0o022) != (0, 0, 0):
            yield f"{path.relative_to(root)} can be changed"


def test_the_same_sources_give_the_same_image(workshop: Workshop, image: Image) -> None:
    again = workshop.build("again", "--no-cache")
    assert again.layers == image.layers
    assert again.digest == image.digest


def test_it_is_small(image: Image, root: Path, demo_root: Path, figures: list[str]) -> None:
    ours, whole = size_of(root / OURS), size_of(root)
    assert 50_000_000 < ours < ROOM
    figures.append(
        f"image: {whole / 1e6:.0f} MB with this base, of which {ours / 1e6:.0f} MB are ours; {image.digest[:19]}"
    )
    figures.append(f"image demo: {size_of(demo_root) / 1e6:.0f} MB with this base")


def test_it_holds_nothing_but_the_service(root: Path) -> None:
    assert list(surplus(root)) == []
    state = (root / "var" / "lib" / "foundry-rollouts").stat()
    assert (state.st_uid, state.st_gid) == (10001, 10001)


def test_the_search_finds_what_does_not_belong_there(demo_root: Path) -> None:
    packages = next((demo_root / OURS / "lib").glob("python*")) / "site-packages"
    (packages / "pip").mkdir()
    (demo_root / OURS / "bin" / "pip").touch()
    (demo_root / OURS / "bin" / "foundry-rollouts").chmod(0o777)
    found = set(surplus(demo_root))
    (packages / "pip").rmdir()
    (demo_root / OURS / "bin" / "pip").unlink()
    (demo_root / OURS / "bin" / "foundry-rollouts").chmod(0o755)
    assert {"pip is installed", "foundry_emulator is installed", "pip is a program"} <= found
    assert f"{OURS}/bin/foundry-rollouts can be changed" in found


def test_it_is_shut_in_as_in_production(container: Container) -> None:
    """What the other tests rely on: not a promise of the image, but of the way it is run here."""
    program = """
import os
print(os.getpid(), os.getuid(), os.getgid(), os.getgroups(), os.system("true") == 0)
for folder in ("/", "/tmp", "/etc", "/opt/foundry-rollouts/bin", "."):
    try:
        open(f"{folder}/here", "w").close()
        print(folder)
    except OSError:
        pass
"""
    run = container.run("python", "-c", program)
    assert (run.returncode, run.stdout) == (0, "1 10001 10001 [] False\n.\n"), run.stderr


def test_it_serves_says_that_it_is_healthy_and_ends_when_it_is_asked_to(
    container: Container, state: Path, tmp_path: Path, figures: list[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    (state / "policy.yaml").write_text("name: p\nagents: ['*']\nsteps: [{weight: 10}, {weight: 100}]\n", "utf-8")
    log = tmp_path / "log"
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"))) as foundry:
        settings = {
            "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": f"{foundry}/api/projects/local",
            "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
            "FOUNDRY_ROLLOUTS_POLICIES": "policy.yaml",
            "FOUNDRY_ROLLOUTS_LISTEN": listen,
        }
        assert container.run(*HEALTH, **settings).returncode != 0
        began = time.monotonic()
        with container.started(log, **settings) as process:
            until_ready(f"http://{listen}/readyz", process, lambda: log.read_text("utf-8"))
            figures.append(f"image: serve is ready after {time.monotonic() - began:.1f} s")
            assert container.run(*HEALTH, **settings).returncode == 0
            assert terminate(process) == 0, log.read_text("utf-8")
    lines = [json.loads(line)["event"] for line in log.read_text("utf-8").splitlines()]
    assert lines[-1] == "daemon.stopped"
    assert {path.name.split(".")[0] for path in state.iterdir()} == {"foundry-rollouts", "policy"}


def test_the_second_target_plays_the_demonstration(demo_container: Container, figures: list[str]) -> None:
    began = time.monotonic()
    run = demo_container.run()
    assert run.returncode == 0, run.stdout + run.stderr
    assert "rolled back" in run.stdout
    figures.append(f"image demo: its story takes {time.monotonic() - began:.0f} s")
