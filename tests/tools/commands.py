"""The commands of the command line, as typer knows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from foundry_rollouts.cli.app import app


@dataclass(frozen=True, slots=True)
class Listed:
    """One command: its words behind the program's name, and the first line of its help."""

    name: str
    summary: str


def commands() -> list[Listed]:
    """Return every command, in the order of the help."""
    return list(_below(typer.main.get_command(app), ()))


def _below(node: Any, words: tuple[str, ...]) -> Iterator[Listed]:
    inner = getattr(node, "commands", None)
    if inner is None:
        yield Listed(" ".join(words), (node.help or "").strip().splitlines()[0])
        return
    for word, command in inner.items():
        yield from _below(command, (*words, word))
