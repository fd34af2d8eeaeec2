"""Connections that nobody leaves half way.

A page that is closed cancels what was read for it, and again until that ends. SQLAlchemy throws a connection away that
was cancelled while it was opened, or in a statement; cancelled once more while it closes such a one, it leaves a task
behind that never ends, and warnings with it.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """Return what ``work`` returns; whoever is cancelled meanwhile is cancelled behind its end."""
    task, cancelled = asyncio.create_task(work), None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # Nobody asks for it any more.
    raise cancelled


class WholeConnection(AsyncConnection):
    """A connection that is opened whole and goes back to its pool, and in a file brings each statement to its end.

    A server is asked to stop at a statement that somebody was cancelled in; it may take long, or never answer.
    """

    if not TYPE_CHECKING:  # Types and overloads are those of the class above.

        async def start(self, *args, **options):
            """Take a connection from the pool, or open one."""
            try:
                return await finished(super().start(*args, **options))
            except asyncio.CancelledError:
                if self.sync_connection is not None:
                    await finished(self.close())
                raise

        async def execute(self, *args, **options):
            """Execute one statement."""
            work = super().execute(*args, **options)
            return await (finished(work) if self.dialect.name == "sqlite" else work)

        async def commit(self):
            """End the transaction."""
            await finished(super().commit())

        async def rollback(self):
            """End the transaction without a trace."""
            await finished(super().rollback())
