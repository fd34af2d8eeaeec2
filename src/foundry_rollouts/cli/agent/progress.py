"""How far long work is, on stderr: one living line on a terminal, plain lines everywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

Tell = Callable[[str], None]


@contextmanager
def progress() -> Iterator[Tell]:
    """Give a way to tell each step as it begins."""
    if sys.stderr.isatty():
        with _alive() as tell:
            yield tell
    else:
        yield lambda text: typer.echo(text, err=True)


@contextmanager
def _alive() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("")
        told: list[str] = []

        def tell(text: str) -> None:
            if told:
                console.print(told[-1], markup=False)
            told.append(text)
            shown.update(task, description=text)

        yield tell
        if told:
            console.print(told[-1], markup=False)
