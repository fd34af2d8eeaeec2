"""A session's log for as long as the session lives: the stream ends every few minutes and is opened again.

The judge's source opens streams by its own list of sessions; both read them through ``ports/log_memory.py``, which
knows the lines that a new stream repeats.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.core.model.backoff import Backoff
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.retry import TRANSIENT
from foundry_rollouts.ports import LogLine, LogMemory

OpenLog = Callable[[], AsyncGenerator[LogLine, None]]

_PASSING = TRANSIENT | {424}
PAUSES = Backoff(timedelta(seconds=1), timedelta(seconds=30))


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """How to go on after an end: a short pause after a good one, a longer one after each failure in a row."""

    pauses: Backoff = PAUSES
    failures: int = 8  #: In a row, before the last of them is raised.


async def follow(open_log: OpenLog, timings: Reconnecting | None = None) -> AsyncGenerator[LogLine, None]:
    """Yield the lines of a log until the session is gone: its stream ends at once without a line, or is not found.

    Raises CloudError when it is refused, or fails too often in a row; a log that is missing from the start is
    waited for in the same way.
    """
    timings = timings or Reconnecting()
    memory = LogMemory()
    failures, quiet, has_begun = 0, 0, False
    while True:
        sent, said = 0, False
        try:
            async with aclosing(memory.reading(open_log())) as lines:
                async for line, is_new in lines:
                    sent += 1
                    has_begun, failures = True, 0
                    said = said or line.stream != "status"
                    if is_new:
                        yield line
            if not sent:
                return
            quiet = 0 if said else quiet + 1  # a session that sleeps tells its state, and ends the stream
        except CloudError as error:
            if error.is_missing and has_begun:
                return
            failures += 1
            if failures > timings.failures or (error.refusal.status not in _PASSING and not error.is_missing):
                raise
        await asyncio.sleep(timings.pauses.pause(failures + quiet + 1).total_seconds())
