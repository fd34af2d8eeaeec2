"""The guide to a first rollout does well, block by block, in one bash, as a newcomer would copy it after the demo."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from fences import SHELL, Fence, fences
from foundry_rollouts.cli.demo.stage import free_port
from printed import once
from shell import Bash, Outcome
from tools.repository import ROOT

PAGE = ROOT / "docs" / "first-rollout.md"
BLOCKS = [fence for fence in fences(PAGE) if fence.language == SHELL]
PRINTED_SERVICE, PRINTED_FOUNDRY, PRINTED_LOGIN = "127.0.0.1:8080", "127.0.0.1:8090", "CREDENTIAL=default"
PRINTED_PROJECT = "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"
pytestmark = pytest.mark.timeout(600)  # the first worker runs all blocks


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return once("first-rollout", tmp_path_factory, run)


def run(folder: Path) -> dict[str, Outcome]:
    """Run the blocks where the reader has a checkout: what they copy is beside them, and ``make`` is run in ours."""
    service, foundry = (f"127.0.0.1:{free_port()}" for _ in range(2))
    home = folder / "home"
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("FOUNDRY", "BINDIR"))}
    environ |= {"HOME": str(home), "PATH": f"{home}/.local/bin:{without_ours(environ['PATH'])}", "CHECKOUT": str(ROOT)}
    with Bash(folder / "reader", environ) as bash:
        shutil.copytree(ROOT / "deploy", folder / "reader" / "deploy")
        done = bash.run('make() { command make --no-print-directory -C "$CHECKOUT" "$@"; }; set +m')
        assert not done.failed
        return {str(block): bash.run(elsewhere(block.text, service, foundry)) for block in BLOCKS}


def without_ours(path: str) -> str:
    """Return the path of somebody who has not installed the command yet."""
    return os.pathsep.join(each for each in path.split(os.pathsep) if each != str(Path(sys.executable).parent))


def elsewhere(text: str, service: str, foundry: str) -> str:
    """Return a block with free addresses in place of those that are printed, and the local Foundry for a project."""
    text = text.replace(PRINTED_PROJECT, f"http://{foundry}/api/projects/local").replace(
        PRINTED_LOGIN, "CREDENTIAL=emulator"
    )
    text = text.replace(PRINTED_SERVICE, service).replace(PRINTED_FOUNDRY, foundry)
    started = text.replace("foundry-rollouts serve", f"foundry-rollouts serve --listen {service}")
    return f"export FOUNDRY_ROLLOUTS_SERVER=http://{service}\n{started}"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block).replace(" ", "-"))
def test_the_block_does_well(outcomes: dict[str, Outcome], block: Fence) -> None:
    assert not outcomes[str(block)].failed, str(outcomes[str(block)])


def test_the_guide_shows_what_it_says(outcomes: dict[str, Outcome]) -> None:
    assert "@latest" in outcomes["A local Foundry and an agent, 2"].output
    assert "1: 100" in outcomes["The service"].output
    assert "rollout.promoted" in outcomes["A good version"].output
    bad = outcomes["A bad version"].output
    assert "rollout.rolled_back" in bad
    assert "exit code 3" in bad
    assert "version 2 heard you say: are you well?" in bad
    assert "harm is proved" in bad
    assert "hello  2       promoted" in outcomes["A bad version, 2"].output
    assert "@latest" in outcomes["How to leave"].output


def test_a_service_without_policies_leaves_the_agent_as_it_is(outcomes: dict[str, Outcome]) -> None:
    assert "@latest" in outcomes["In a project, 3"].output


def test_the_addresses_that_are_replaced_are_printed() -> None:
    text = PAGE.read_text("utf-8")
    printed = (PRINTED_PROJECT, PRINTED_SERVICE, PRINTED_FOUNDRY, PRINTED_LOGIN)
    assert [each for each in printed if each not in text] == []
