"""Everybody who notifies, as one: none of them waits for another."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.notify.dispatcher import CHECK_EVERY
from foundry_rollouts.ports import Notifier


@dataclass(frozen=True, slots=True)
class Everybody:
    """Implements ``ports.Notifier``: whoever is done while another is not begins again soon."""

    notifiers: Sequence[Notifier]
    check_every: timedelta = CHECK_EVERY

    async def drain(self) -> None:
        """Return when nobody has anything to send; raise what the first raised."""
        busy = set(range(len(self.notifiers)))
        tasks = [asyncio.create_task(self._drain(number, busy)) for number in sorted(busy)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self, number: int, busy: set[int]) -> None:
        while True:
            await self.notifiers[number].drain()
            busy.discard(number)
            if not busy:
                return
            await asyncio.sleep(self.check_every.total_seconds())
