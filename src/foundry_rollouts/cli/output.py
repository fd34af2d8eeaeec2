"""Listings for people, programs and pipes: a table, JSON or YAML.

Colour and frames only on a terminal (``NO_COLOR`` switches colour off there, too); into a pipe goes plain text whose
lines are as long as they are.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from foundry_rollouts.untrusted import visible, visible_json

Item = Mapping[str, Any]


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Write ``text``, whoever wrote it, so that no character of it does anything to a terminal."""
    typer.echo(visible(text), err=err, nl=nl)


def pass_on(text: str, *, nl: bool = True) -> None:
    """Write what an agent said: to a terminal as ``say`` does, into a pipe as it came."""
    typer.echo(visible(text) if sys.stdout.isatty() else text, nl=nl, color=True)


class Output(StrEnum):
    """How a listing is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="The output format.")]

_PHASE_STYLES = {
    "promoted": "green",
    "progressing": "cyan",
    "paused": "yellow",
    "rolled_back": "red",
    "disabled": "red",
    "failed": "red",
    "aborted": "yellow",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its title, and how it is read from an item."""

    title: str
    of: Callable[[Item], object]


def column(name: str) -> Column:
    """Return the column of what is called ``name`` in an item."""
    return Column(name.replace("_", " "), lambda item: item.get(name))


def show_items(items: Sequence[Item], columns: Sequence[Column], output: Output, nothing: str) -> None:
    """Write ``items``; an empty table is the sentence ``nothing`` on stderr."""
    if output is not Output.TABLE:
        _show_data(list(items), output)
    elif not items:
        typer.echo(nothing, err=True)
    else:
        rows = [[_text(column.of(item)) for column in columns] for item in items]
        _show_table([column.title for column in columns], rows)


def show_item(item: Item, columns: Sequence[Column], output: Output) -> None:
    """Write one item: as a table, a line for each thing that is known of it."""
    if output is not Output.TABLE:
        _show_data(item, output)
        return
    lines = [(column.title, _text(column.of(item))) for column in columns]
    width = max(len(title) for title, _ in lines)
    for title, text in lines:
        if text:
            typer.echo(f"{title.ljust(width)}  {text}")


def _show_data(data: Any, output: Output) -> None:
    if output is Output.JSON:
        typer.echo(visible_json(json.dumps(data, indent=2, ensure_ascii=False)))
        return
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.dump(_seen(data), sys.stdout)


def _seen(data: Any) -> Any:
    """Return ``data`` with nothing in its texts that a terminal would obey: YAML writes some of it as it is."""
    match data:
        case str():
            return visible(data)
        case Mapping():
            return {_seen(key): _seen(each) for key, each in data.items()}
        case list() | tuple():
            return [_seen(each) for each in data]
        case _:
            return data


def _show_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty():
        _show_framed(titles, rows)
        return
    widths = [max(len(row[place]) for row in (titles, *rows)) for place in range(len(titles))]
    for row in ([title.upper() for title in titles], *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _show_framed(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="" if console.no_color else "bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_PHASE_STYLES.get(cell, "")) for cell in row))
    console.print(table)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case Mapping():
            text = ", ".join(f"{name}: {share}" for name, share in value.items())
        case list() | tuple():
            text = ", ".join(map(str, value))
        case _:
            text = str(value)
    return visible(" ".join(text.split()))
