"""The page about the agent commands is made of them."""

import subprocess
import sys

from tools.agent_reference import PAGE, reference
from tools.commands import commands

PROMISED = {
    "list", "show", "versions", "deploy", "create", "promote-draft", "download", "delete", "enable", "disable", "route",
    "protocols", "hold", "unhold", "holds",
    "invoke", "logs", "identity", "grant", "sessions list", "sessions show", "sessions create", "sessions stop",
    "sessions delete",
}  # fmt: skip


def test_every_promised_command_is_there() -> None:
    there = {each.name.removeprefix("agent ") for each in commands() if each.name.startswith("agent ")}
    assert there == PROMISED


def test_the_page_says_what_the_commands_say() -> None:
    assert PAGE.read_text("utf-8") == reference(), "write it anew: PYTHONPATH=tests python -m tools.agent_reference"


def test_it_tells_that_a_rollout_sees_routing_by_hand_as_drift() -> None:
    section = reference().split("## agent route\n")[1].split("\n## ")[0]
    assert "drift" in section


def test_what_a_command_needs_is_imported_when_it_runs() -> None:
    heavy = {"azure", "httpx", "pydantic", "pydantic_settings", "rich", "stamina", "foundry_rollouts.foundry"}
    program = f"import foundry_rollouts.cli.agent.verbs, sys; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
