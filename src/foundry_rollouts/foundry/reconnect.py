"""A session's log for as long as the session lives: the stream ends every few minutes and is opened again.

Lines that a new stream repeats are dropped (``ports/log_memory.py``).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import LogLine, LogMemory

OpenLog = Callable[[], AsyncGenerator[LogLine, None]]

_PASSING = frozenset({None, 408, 424, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """How to go on after an end: a short pause after a good one, a longer one after each failure in a row."""

    pause: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(seconds=30)
    failures: int = 8  #: In a row, before the last of them is raised.


async def follow(open_log: OpenLog, manners: Reconnecting | None = None) -> AsyncGenerator[LogLine, None]:
    """Yield the lines of a log until the session is gone: its stream ends at once without a line, or is not found.

    Raises CloudError when it is refused, or fails too often in a row; a log that is missing from the start is
    waited for in the same way.
    """
    manners = manners or Reconnecting()
    memory = LogMemory()
    failures, quiet, has_begun = 0, 0, False
    while True:
        told, said = 0, False
        memory.reopened()
        try:
            async with aclosing(open_log()) as lines:
                async for line in lines:
                    told += 1
                    has_begun, failures = True, 0
                    said = said or line.stream != "status"
                    if memory.is_new(line):
                        yield line
            if not told:
                return
            quiet = 0 if said else quiet + 1  # a session that sleeps tells its state, and ends the stream
        except CloudError as error:
            if error.is_missing and has_begun:
                return
            failures += 1
            if failures > manners.failures or (error.refusal.status not in _PASSING and not error.is_missing):
                raise
        await asyncio.sleep(min(manners.pause * 2 ** min(failures + quiet, 10), manners.longest).total_seconds())
