"""Ctrl-C and SIGTERM while something goes on elsewhere: whoever cancels a job of a pipeline does one or the other."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from foundry_rollouts.cli.errors import INTERRUPTED, TERMINATED
from foundry_rollouts.cli.output import say


@contextmanager
def interruptible(what_goes_on: Callable[[], str]) -> Iterator[None]:
    """Say what goes on without us when the block is interrupted, and exit with the code that shells expect.

    A timeout belongs inside of it.
    """
    terminated: list[bool] = []
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def terminate() -> None:
        terminated.append(True)
        if task is not None:
            task.cancel()

    # Only the main thread may have a handler; elsewhere a signal does what it always did.
    with contextlib.suppress(RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield
    except asyncio.CancelledError:
        say(f"error: interrupted; {what_goes_on()}", err=True)
        raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from None
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGTERM)
