"""What the page on the tools for policies shows is what they say: the outputs that depend on no clock, word by word."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from component.cli.conftest import Inside
from tools.repository import ROOT

PAGE = (ROOT / "docs/tools-for-policies.md").read_text("utf-8")
#: A command, and what stands below it until the block ends or the next command begins.
SHOWN = re.findall(r"^\$ foundry-rollouts (.+)\n((?:(?!```|\$ ).*\n)*)", PAGE, re.MULTILINE)
REPEATABLE = [
    (command, output)
    for command, output in SHOWN
    if command.startswith(("policy plan", "policy lint", "policy diff", "policy backtest --policy support.yaml"))
]


def block(language: str) -> str:
    """Return the first block of the page in that language."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_page_shows_every_tool() -> None:
    tools = {" ".join(command.split()[:2]) for command, _ in SHOWN}
    assert tools == {"policy plan", "policy lint", "policy diff", "policy backtest", "rollout explain"}
    assert len(REPEATABLE) == 4


@pytest.mark.parametrize(("command", "output"), REPEATABLE, ids=[command for command, _ in REPEATABLE])
def test_what_the_page_shows_is_what_is_said(tmp_path: Path, inside: Inside, command: str, output: str) -> None:
    shutil.copytree(ROOT / "deploy/policies", tmp_path / "deploy/policies")
    (tmp_path / "support.yaml").write_text(block("yaml"))
    for folder in ("released/policies", "policies"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "released/policies/support.yaml").write_text(block("yaml"))
    changed = block("yaml").replace("weight: 10", "weight: 5", 1) + "deadline: 8h\n"
    (tmp_path / "policies/support.yaml").write_text(changed)
    (tmp_path / "counts.csv").write_text(block("csv"))
    done = inside(*shlex.split(command))
    assert done.code == 0
    # A terminal shows both streams; warnings come before what lint says at the end, and after a plan.
    assert output in {done.out + done.err, done.err + done.out}
