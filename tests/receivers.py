"""Somebody to be told, for tests: remembers what it was told, and refuses when it is told to."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.ports import Message


@dataclass
class Listener:
    """Confirms every message, unless it has trouble; ``refuses`` names events that it never confirms."""

    limit: timedelta = timedelta(seconds=10)
    takes: float = 0.0  #: Seconds.
    told: list[str] = field(default_factory=list)
    trouble: UndeliveredError | None = None
    refuses: set[str] = field(default_factory=set)
    hangs: set[str] = field(default_factory=set)  #: Events that it neither confirms nor refuses.
    asked: int = 0
    at_once: int = 0  #: The most messages that were ever on their way at the same time.
    collisions: list[str] = field(default_factory=list)  #: What came while another of its rollout was on its way.
    _under_way: Counter[str] = field(default_factory=Counter)

    async def tell(self, message: Message) -> None:
        rollout = message.event.rollout or ""
        self.asked += 1
        if self._under_way[rollout]:
            self.collisions.append(message.event.id)
        self._under_way[rollout] += 1
        self.at_once = max(self.at_once, self._under_way.total())
        await asyncio.sleep(self.takes)
        if message.event.id in self.hangs:
            await asyncio.Event().wait()
        self._under_way[rollout] -= 1
        if self.trouble is not None:
            raise self.trouble
        if message.event.id in self.refuses:
            raise UndeliveredError("the receiver answers HTTP 400")
        self.told.append(message.event.id)

    async def aclose(self) -> None:
        """Nothing is open."""
