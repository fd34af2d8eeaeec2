"""A plain install: the wheel without extras runs the service, and nothing of the emulator comes with it."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clean_install import CleanInstall, install, wheel_of
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from readiness import until_ready
from tools.repository import ROOT

POLICY = "name: p\nagents: ['*']\nsteps: [{weight: 10}, {weight: 100}]\n"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> CleanInstall:
    """Give an environment with the service's wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("plain")
    return install(wheel_of(ROOT, folder / "dist"), folder / "venv")


def test_it_holds_nothing_of_the_emulator(plain: CleanInstall) -> None:
    assert plain.installed & {"foundry-rollouts-emulator", "trustme", "python-multipart"} == set()
    names = ("foundry_emulator", "trustme", "multipart", "python_multipart", "foundry_rollouts.emulator")
    program = f"from importlib.util import find_spec; print([n for n in {names} if find_spec(n)])"
    assert subprocess.run([plain.python, "-I", "-c", program], capture_output=True, check=True).stdout == b"[]\n"


@pytest.mark.parametrize("group", ["serve", "db", "policy", "rollout", "agent"])
def test_each_command_has_its_help(group: str, plain: CleanInstall, tmp_path: Path) -> None:
    done = plain.run(group, "--help", inside=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"foundry-rollouts {group}" in done.out


@pytest.mark.parametrize("command", ["emulator", "demo"])
def test_what_needs_the_emulator_says_in_one_line_what_to_install(
    command: str, plain: CleanInstall, tmp_path: Path
) -> None:
    done = plain.run(command, inside=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: the local Foundry is not installed: run pip install 'foundry-rollouts[emulator]' "
        "(in a checkout: pip install '.[emulator]')\n"
    )


def test_policies_are_checked_and_the_database_is_made(plain: CleanInstall, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    for words in (["policy", "lint", "policy.yaml"], ["db", "upgrade"], ["db", "check"]):
        done = plain.run(*words, inside=tmp_path)
        assert done.code == 0, done.err


@pytest.fixture
def served(plain: CleanInstall, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Serve from the plain install against a local Foundry outside it; give the settings that lead there."""
    (tmp_path / "policy.yaml").write_text(POLICY, "utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"))) as foundry:
        settings = {
            "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": f"{foundry}/api/projects/local",
            "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
            "FOUNDRY_ROLLOUTS_POLICIES": "policy.yaml",
            "FOUNDRY_ROLLOUTS_LISTEN": listen,
        }
        with subprocess.Popen(
            [plain.python, "-m", "foundry_rollouts", "serve"], cwd=tmp_path, env=plain.environment(**settings)
        ) as serving:
            try:
                until_ready(f"http://{listen}/readyz", serving)
                yield settings | {"FOUNDRY_ROLLOUTS_SERVER": f"http://{listen}"}
            finally:
                serving.terminate()


def test_it_serves_and_answers_about_rollouts_and_agents(
    served: dict[str, str], plain: CleanInstall, tmp_path: Path
) -> None:
    for words in (["rollout", "list"], ["agent", "list"]):
        done = plain.run(*words, "--output", "json", inside=tmp_path, **served)
        assert (done.code, done.err) == (0, ""), words
    assert httpx.get(f"{served['FOUNDRY_ROLLOUTS_SERVER']}/api/openapi.json").status_code == 200
