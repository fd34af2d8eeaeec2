"""How far long work is, on stderr: one living line on a terminal, plain lines everywhere else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from foundry_rollouts.cli.output import say
from foundry_rollouts.untrusted import visible

if TYPE_CHECKING:
    from rich.progress import Progress

Tell = Callable[[str], None]


class Steps(Protocol):
    """Where steps are reported as they begin; after ``end`` the terminal is free for results."""

    def __call__(self, text: str) -> None: ...

    def end(self) -> None: ...


@contextmanager
def progress() -> Iterator[Steps]:
    """Give a way to tell each step as it begins."""
    if not sys.stderr.isatty():
        yield _Plain()
        return
    steps = _Alive()
    try:
        yield steps
    finally:
        steps.end()


class _Plain:
    """A line for each step."""

    def __call__(self, text: str) -> None:
        say(text, err=True)

    def end(self) -> None:
        """Nothing is kept back."""


class _Alive:
    """The present step beside a spinner and how long it all takes; steps that are over stay as lines."""

    def __init__(self) -> None:
        self._shown = _spinner()
        self._task = self._shown.add_task("")
        self._now = ""
        self._shown.start()

    def __call__(self, text: str) -> None:
        self._let_go()
        text = visible(text)
        self._now = text
        self._shown.update(self._task, description=text)

    def end(self) -> None:
        self._shown.stop()
        self._let_go()

    def _let_go(self) -> None:
        if self._now:
            self._shown.console.print(self._now, markup=False, highlight=False, soft_wrap=True)
        self._now = ""


def _spinner() -> "Progress":
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # Results go to stdout as they are: they may be for another program.
    return Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )
