"""Every command explains itself."""

import pytest
from typer.testing import CliRunner

from foundry_rollouts.cli.app import app
from tools.commands import Listed, commands


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_the_help_of_every_command_ends_with_examples(command: Listed) -> None:
    answer = CliRunner().invoke(app, [*command.name.split(), "--help"])
    assert answer.exit_code == 0, answer.output
    examples = answer.output.partition("Examples:")[2]
    assert f"foundry-rollouts {command.name}" in examples
