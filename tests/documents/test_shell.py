"""The shell that runs documents notices what goes wrong in them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell import Bash, Step, steps_of


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    with Bash(tmp_path / "reader", dict(os.environ)) as shell:
        yield shell


def test_what_is_set_in_one_piece_is_there_in_the_next(bash: Bash) -> None:
    assert not bash.run('name=one; mkdir folder; cd folder\nshout() { echo "$1!"; }').failed
    outcome = bash.run('shout "$name"; basename "$PWD"')
    assert (outcome.output, outcome.failed) == ("one!\nfolder\n", "")


@pytest.mark.parametrize(
    "text", ["false", "false | true", "f() { false; true; }; f", "x=$(false); true", "(false); true"]
)
def test_a_command_that_fails_is_noted_and_the_next_one_runs(bash: Bash, text: str) -> None:
    outcome = bash.run(f"{text}\necho next")
    assert "exit code 1: " in outcome.failed
    assert outcome.output == "next\n"


def test_a_condition_is_no_failure(bash: Bash) -> None:
    assert not bash.run("if false; then :; fi; false || true; while false; do :; done").failed


def test_a_shell_that_ends_is_noted(bash: Bash) -> None:
    assert bash.run("exit 3").failed == "the shell ended"
    assert bash.run("true").failed == "the shell ended"


def test_a_script_is_cut_into_its_steps(tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text("# head\n# step: one\necho 1\n\n# step: two (needs dotnet)\necho 2\n", "utf-8")
    assert steps_of(script) == [Step("one", "\necho 1\n\n"), Step("two", "\necho 2\n", "dotnet")]
