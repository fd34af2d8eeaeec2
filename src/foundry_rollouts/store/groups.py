"""Calls that are asked for at the same time and answered together.

A group is what came in while the one before was served. Who comes alone waits for nobody; where several come, the next
group may pause for a moment so that more of them meet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from foundry_rollouts.store.whole import finished

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

#: How many answers are given at once: whoever gets one goes on at once, and others need the loop as well.
PER_TURN = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Call(Generic[Asked, Answer]):
    asked: Asked
    answer: asyncio.Future[Answer]
    context: Context


class Groups(Generic[Asked, Answer]):
    """Answers calls in groups; ``serve`` returns one answer for each, in their order, or raises for all of them."""

    def __init__(
        self,
        serve: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]],
        *,
        most: int,
        pause: timedelta = timedelta(0),
    ) -> None:
        """Serve at most ``most`` calls at once, and begin ``pause`` after the last group where that had company."""
        self._serve = serve
        self._most = most
        self._pause = pause.total_seconds()
        self._waiting: list[_Call[Asked, Answer]] = []
        self._served: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answer:
        """Return the answer; who is cancelled before its group begins is left out, and later waits for its end."""
        call: _Call[Asked, Answer] = _Call(asked, asyncio.get_running_loop().create_future(), copy_context())
        self._waiting.append(call)
        if self._served is None:
            self._served = asyncio.create_task(self._serve_all(), context=Context())
        try:
            return await asyncio.shield(call.answer)
        except asyncio.CancelledError:
            if call in self._waiting:
                self._waiting.remove(call)
            else:
                await finished(_ended(call.answer))
            raise

    async def close(self) -> None:
        """Wait until every call is answered."""
        while self._served is not None:
            await asyncio.wait({self._served})

    async def _serve_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                began, group = loop.time(), self._waiting[: self._most]
                self._waiting = self._waiting[self._most :]
                # What is done for a group belongs to the trace of whoever came first.
                await asyncio.create_task(self._answer(group), context=group[0].context)
                if len(group) > 1 and self._pause:
                    await asyncio.sleep(began + self._pause - loop.time())
        finally:
            self._served = None

    async def _answer(self, group: Sequence[_Call[Asked, Answer]]) -> None:
        try:
            answers = await self._serve([call.asked for call in group])
            for number, (call, answer) in enumerate(zip(group, answers, strict=True), start=1):
                call.answer.set_result(answer)
                if number % PER_TURN == 0:
                    await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it
            for call in group:
                if not call.answer.done():
                    call.answer.set_exception(error)
        finally:
            for call in group:
                call.answer.cancel()  # Nothing happens to those that have their answer.


async def _ended(answer: asyncio.Future[Answer]) -> None:
    await asyncio.wait({answer})
    if not answer.cancelled():
        answer.exception()  # Nobody asks for it any more.
