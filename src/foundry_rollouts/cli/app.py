"""The command line, put together."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Annotated

import typer

from foundry_rollouts.cli.agent.verbs import agent
from foundry_rollouts.cli.bench import bench
from foundry_rollouts.cli.commands import Command, examples
from foundry_rollouts.cli.db import db
from foundry_rollouts.cli.demo.command import demo
from foundry_rollouts.cli.emulator import EMULATOR_EXAMPLES, emulator
from foundry_rollouts.cli.errors import report
from foundry_rollouts.cli.line import line
from foundry_rollouts.cli.notify import notify
from foundry_rollouts.cli.policy import policy
from foundry_rollouts.cli.rollout import rollout
from foundry_rollouts.cli.serve import SERVE_EXAMPLES, ServeCommand, serve
from foundry_rollouts.cli.token import token
from foundry_rollouts.cli.verbosity import set_verbose
from foundry_rollouts.cli.verbs import add_verbs

NAME = "foundry-rollouts"

app = typer.Typer(
    name=NAME,
    help="Progressive rollouts for Microsoft Foundry agents.",
    epilog="Exit codes: 0 success, 1 an error, 2 wrong usage, 3 the rollout ended badly, 4 a wait timed out.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {version(NAME)}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    # Taken out of the arguments by ``main``, so that it may stand anywhere; declared here for the help.
    _verbose: Annotated[
        bool, typer.Option("--verbose", help="Show the trace of an error, and the ids of answers.")
    ] = False,
) -> None:
    pass


add_verbs(rollout)
app.command("demo", cls=Command, epilog=examples("foundry-rollouts demo", "foundry-rollouts demo --keep"))(demo)
app.command("serve", cls=ServeCommand, epilog=SERVE_EXAMPLES)(serve)
app.command("emulator", cls=Command, epilog=EMULATOR_EXAMPLES)(emulator)
app.add_typer(db, name="db")
app.add_typer(token, name="token")
app.add_typer(policy, name="policy")
app.add_typer(rollout, name="rollout")
app.add_typer(line, name="line")
app.add_typer(notify, name="notify")
app.add_typer(bench, name="bench")
app.add_typer(agent, name="agent")


def main(args: Sequence[str]) -> int:
    """Run the command line with ``args`` and return its exit code; an error is reported on stderr."""
    is_verbose = "--verbose" in args
    set_verbose(is_verbose)
    asked = [arg for arg in args if arg != "--verbose"] or ["--help"]
    try:
        code = _command()(asked, prog_name=NAME, standalone_mode=False)
    except Exception as error:  # noqa: BLE001 - the last door: whatever it is, it becomes one line and a code
        return report(error, is_verbose=is_verbose)
    return code if isinstance(code, int) else 0


@cache
def _command() -> Callable[..., object]:
    """Return the commands of ``app``, put together once however often a process runs them."""
    return typer.main.get_command(app)
