"""A loop of its own for what is asynchronous: the tests of the browser are not."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Self, TypeVar

from patience import PATIENCE

T = TypeVar("T")


class Background:
    """An event loop in a thread, from ``with`` to the end of its block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], patience: float = 2 * PATIENCE) -> T:
        """Do ``work`` there and return what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience)

    @contextmanager
    def entered(self, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter ``context`` there, in one task from its beginning to its end."""
        is_over, ready = asyncio.Event(), self._loop.create_future()

        async def live() -> None:
            try:
                async with context as value:
                    ready.set_result(value)
                    await is_over.wait()
            except BaseException as error:
                if not ready.done():
                    ready.set_exception(error)
                raise

        async def get() -> T:
            value: T = await ready
            return value

        living = asyncio.run_coroutine_threadsafe(live(), self._loop)
        try:
            yield self.run(get())
        finally:
            self._loop.call_soon_threadsafe(is_over.set)
            living.result(2 * PATIENCE)
