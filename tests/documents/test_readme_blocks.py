"""Every block of shell that readers copy is run by a test, and those of the README by this one."""

import os
import shutil
import sys
import time
from pathlib import Path

import httpx
import pytest

from fences import SHELL, Fence, fences
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.cli.demo.stage import free_port
from patience import PATIENCE
from shell import Bash
from tools.repository import ROOT
from tools.site import pages

#: Pages with blocks of shell, and the tests that run them.
RUN_BY = {
    "README.md": "documents/test_readme_blocks.py",
    "deploy/pipelines/README.md": "scenarios/test_story_of_the_pipelines.py",
    "docs/agent-commands.md": "documents/test_agent_commands_page.py",
    "docs/emulator.md": "documents/test_emulator_page.py",
    "docs/first-rollout.md": "documents/test_first_rollout.py",
    "docs/on-call.md": "documents/test_guides.py",
    "docs/operating.md": "documents/test_guides.py",
    "docs/policy-guide.md": "documents/test_guides.py",
    "docs/upgrading.md": "documents/test_upgrading.py",
}
PRINTED_PROJECT = "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"
#: What a target of the Makefile runs where its environment is ready; the other test plays the demo to its end.
TARGETS = {"make demo": "foundry-rollouts demo", "make test": "tools.every_check"}


#: Pages that show commands with what they answer, and the tests that compare the two.
SHOWN_BY = {
    "docs/access.md": "documents/test_readme_blocks.py",
    "docs/tools-for-policies.md": "component/cli/test_cli_documented.py",
}
PRINTED_TOKEN = "1m8prngxk74nb91av"


def blocks_of(page: str) -> list[Fence]:
    return [fence for fence in fences(ROOT / page) if fence.language == SHELL]


def shown_on(page: str) -> list[str]:
    """Return the commands that a page shows with what they answer; variables that are set answer nothing."""
    lines = [line for each in fences(ROOT / page) if each.language == "console" for line in each.text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and not line.startswith("$ export ")]


def test_every_page_with_blocks_of_shell_has_a_test_that_runs_them() -> None:
    assert {page for page in pages() if blocks_of(page)} == set(RUN_BY)
    assert {page for page in pages() if shown_on(page)} == set(SHOWN_BY)
    assert [test for test in {**RUN_BY, **SHOWN_BY}.values() if not (ROOT / "tests" / test).is_file()] == []


def test_the_tokens_of_the_page_on_access_are_made_listed_and_revoked(tmp_path: Path) -> None:
    commands = [command for command in shown_on("docs/access.md") if " token " in command]
    assert {command.split()[2] for command in commands} == {"create", "list", "revoke"}
    environ = {key: value for key, value in os.environ.items() if not key.startswith("FOUNDRY")}
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    ours = ""
    with Bash(tmp_path / "reader", environ) as bash:
        for command in commands:
            outcome = bash.run(command.replace(PRINTED_TOKEN, ours))
            assert not outcome.failed, str(outcome)
            ids = [line.split()[0] for line in outcome.output.splitlines() if " ci " in line]
            ours = ids[0] if ids else ours
    assert ours in outcome.output


def test_the_first_block_of_the_readme_names_targets_that_run_what_they_say() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    first, *_ = blocks_of("README.md")
    commands = [line.partition("#")[0].strip() for line in first.text.splitlines()]
    assert commands == list(TARGETS)
    for command in commands:
        recipe = makefile.partition(f"\n{command.removeprefix('make ')}: ")[2].split("\n\n")[0]
        assert TARGETS[command] in recipe


@pytest.mark.timeout(300)
def test_the_service_runs_as_the_readme_says(tmp_path: Path) -> None:
    """The last command stays: it is put in the background, and answers at the address that it has by default."""
    _, block = blocks_of("README.md")
    *lines, last = block.text.strip().splitlines()
    assert last.endswith("foundry-rollouts serve")
    listen = f"127.0.0.1:{free_port()}"
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"))) as foundry:
        started = "\n".join([*lines, f"{last} --listen {listen} > service.log 2>&1 &"])
        text = started.replace(PRINTED_PROJECT, f"{foundry}/api/projects/local")
        environ = {key: value for key, value in os.environ.items() if not key.startswith("FOUNDRY")}
        with Bash(tmp_path / "reader", environ | {"FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator"}) as bash:
            shutil.copytree(ROOT / "deploy" / "policies", tmp_path / "reader" / "deploy" / "policies")
            (tmp_path / "reader" / ".venv").symlink_to(sys.prefix)
            outcome = bash.run(text)
            assert not outcome.failed, str(outcome)
            assert "policies are in order" in outcome.output
            assert until_ready(f"http://{listen}/readyz"), (tmp_path / "reader" / "service.log").read_text("utf-8")


def until_ready(address: str) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if httpx.get(address).status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False
