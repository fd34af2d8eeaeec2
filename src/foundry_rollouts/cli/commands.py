"""How a command is declared: its help with examples, its wait for asynchronous work."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand

P = ParamSpec("P")
R = TypeVar("R")


class Command(TyperCommand):
    """A command whose epilog is written line by line, as it stands."""

    def format_epilog(self, _ctx: Any, formatter: Any) -> None:
        if self.epilog:
            formatter.write("\n" + self.epilog)


def group(summary: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(help=summary, rich_markup_mode=None, add_completion=False)


def examples(*lines: str) -> str:
    """Return the epilog that shows ``lines``."""
    return "Examples:\n" + "".join(f"  {line}\n" for line in lines)


def waits(command: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, R]:
    """Run an asynchronous command to its end; typer alone would never await it, and exit with 0."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return asyncio.run(command(*args, **kwargs))

    return run
