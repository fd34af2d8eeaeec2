"""The commands there are, their help, and that each is really run."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from command_line import run
from component.cli.conftest import Inside
from foundry_rollouts.cli.app import app
from foundry_rollouts.cli.commands import waits
from foundry_rollouts.settings import reference

CONTRACT = {
    "demo", "serve", "emulator", "db upgrade", "db current", "db check", "policy lint", "policy schema",
    "policy show", "rollout start", "rollout list", "rollout show", "rollout watch", "rollout approve",
    "rollout pause", "rollout resume", "rollout promote", "rollout abort", "rollout retry", "rollout history",
    "policy plan", "policy backtest", "rollout explain",
}  # fmt: skip


def commands_of(group: TyperGroup, path: str = "") -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands_of(command, f"{path}{name} ")
        else:
            assert isinstance(command, TyperCommand)
            yield f"{path}{name}", command


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, TyperGroup)
COMMANDS = dict(commands_of(ROOT))


def test_every_promised_command_is_there() -> None:
    assert COMMANDS.keys() >= CONTRACT


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_is_left_unawaited(name: str) -> None:
    assert not inspect.iscoroutinefunction(COMMANDS[name].callback)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_that_name_it(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.epilog
    assert f"foundry-rollouts {name}" in command.epilog


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.split()[-1] in {"list", "show", "history"}])
def test_every_listing_takes_an_output_form(name: str) -> None:
    assert "--output" in {option for parameter in COMMANDS[name].params for option in parameter.opts}


def test_an_asynchronous_command_is_run_to_its_end() -> None:
    @waits
    async def command(number: int) -> int:
        return number + 1

    assert command(1) == 2


def test_what_a_command_needs_is_imported_when_it_runs() -> None:
    modules = ("commands", "db", "emulator", "errors", "options", "output", "policy", "rollout", "serve", "verbs")
    program = ";".join(f"import foundry_rollouts.cli.{module}" for module in modules)
    heavy = {"alembic", "fastapi", "httpx", "pydantic_settings", "rich", "ruamel.yaml", "sqlalchemy", "uvicorn"}
    program += f";import sys;print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_command_the_help_is_shown(inside: Inside) -> None:
    done = inside()
    assert (done.code, done.err) == (0, "")
    assert "Commands:\n  demo " in done.out


async def test_the_version_is_told(tmp_path: Path) -> None:
    done = await run("--version", folder=tmp_path)
    assert (done.code, done.out) == (0, "foundry-rollouts 0.1.0\n")


def test_the_help_of_serve_lists_every_setting(inside: Inside) -> None:
    done = inside("serve", "--help")
    missing = [line.variable for line in reference() if line.variable not in done.out]
    assert (done.code, missing) == (0, [])
