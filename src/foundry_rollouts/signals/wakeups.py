"""How a source says that a rollout should be checked now: it saw a failure that may decide."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from foundry_rollouts.errors import StoreError

log = structlog.get_logger()

#: Under a storm of failures a rollout is woken so often at most: soon enough, and no storm of our own.
REST = timedelta(seconds=0.4)

Wake = Callable[[str], None]  #: Takes the id of a rollout; returns at once.


def no_wake(rollout: str) -> None:
    """Wake nobody: the next tick comes when it comes."""


class Waker(Protocol):
    """Who makes a rollout due."""

    async def wake(self, rollout: str, now: datetime) -> None: ...


@dataclass(slots=True)
class WakeCoalescer:
    """Makes rollouts due, which wakes whoever holds them; many calls at once are one."""

    sleepers: Waker
    now: Callable[[], datetime]
    rest: timedelta = REST
    _under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)

    def __call__(self, rollout: str) -> None:
        if rollout in self._under_way:
            # What is under way may be over before this failure could be seen.
            self._again.add(rollout)
            return
        self._under_way[rollout] = asyncio.create_task(self._wake(rollout), name=f"wake {rollout}")

    async def close(self) -> None:
        """Finish what is under way, without rest."""
        self.rest = timedelta(0)
        while self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def _wake(self, rollout: str) -> None:
        try:
            self._again.add(rollout)
            while rollout in self._again:
                self._again.discard(rollout)
                await self.sleepers.wake(rollout, self.now())
                await asyncio.sleep(self.rest.total_seconds())
        except StoreError as error:
            # The tick after this one finds what was seen.
            log.warning("wake.failed", because=str(error))
        finally:
            self._under_way.pop(rollout, None)
            self._again.discard(rollout)
