"""Long lists, gently: whoever goes through tens of thousands of items lets others have their turn now and then."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

#: Items between two turns of the others: some milliseconds of work.
TURN_AFTER = 200


async def gently(items: Iterable[T], at_once: int = TURN_AFTER) -> AsyncIterator[T]:
    """Yield ``items``; after every ``at_once`` of them whatever else is ready runs first."""
    for number, item in enumerate(items, 1):
        yield item
        if number % at_once == 0:
            await asyncio.sleep(0)


async def slowly(items: AsyncIterator[T], at_once: int, pause: timedelta) -> AsyncIterator[T]:
    """Yield ``items``; after every ``at_once`` of them whatever else there is to do has ``pause`` for itself."""
    number = 0
    async for item in items:
        if number and number % at_once == 0:
            await asyncio.sleep(pause.total_seconds())
        number += 1
        yield item


def chunks(items: Sequence[T], at_once: int = TURN_AFTER) -> Iterator[Sequence[T]]:
    """Yield ``items`` in parts of ``at_once``."""
    return (items[start : start + at_once] for start in range(0, len(items), at_once))
