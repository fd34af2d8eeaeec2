"""Waiting for the cloud: read, pause, read again, up to a limit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from foundry_rollouts.errors import CloudError, UnavailableError

T = TypeVar("T")

_PERMANENT = frozenset({400, 401, 403, 409})


class WaitTimeoutError(UnavailableError):
    """What was waited for did not happen in time; it may still happen."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to read, and for how long: once after ``first``, then every ``every``."""

    limit: timedelta
    first: timedelta = timedelta(seconds=5)
    every: timedelta = timedelta(seconds=10)
    missing: int = 3  #: How many 404 in a row are taken for "not there yet".
    pause_after: Callable[[Any], timedelta | None] | None = None  #: The pause that an answer itself asks for.
    longest: timedelta = timedelta(seconds=30)  #: No answer asks for more.


async def read_until(read: Callable[[], Awaitable[T]], is_done: Callable[[T], bool], pace: Pace, what: str) -> T:
    """Return the first answer that ``is_done``. Reads that fail for a passing reason are repeated.

    Raises WaitTimeoutError after ``pace.limit``, CloudError when the cloud refuses for good.
    """
    misses = 0
    pause = pace.first
    seen: T | None = None
    try:
        async with asyncio.timeout(pace.limit.total_seconds()):
            while True:
                try:
                    seen = await read()
                    if is_done(seen):
                        return seen
                    misses = 0
                except CloudError as error:
                    misses = misses + 1 if error.is_missing else 0
                    if error.refusal.status in _PERMANENT or misses > pace.missing:
                        raise
                asked = pace.pause_after(seen) if pace.pause_after is not None else None
                await asyncio.sleep(min(asked or pause, pace.longest).total_seconds())
                pause = pace.every
    except TimeoutError as error:
        raise WaitTimeoutError(f"{what}: not done after {pace.limit.total_seconds():.0f} s; it may still be") from error
