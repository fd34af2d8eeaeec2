"""What stands of stopped lines and holds, read at most once a second for all agents of this replica.

A tick takes what was read within the last second, so that a stop holds within a second also where nothing rings.
Where the database does not answer, what was read last stands: a tick that would go back waits for nothing here.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.core.model.brake import Brake, BrakeKind
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import BrakeBook
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: What was read longer ago is read again.
GOOD_FOR = timedelta(seconds=1)
#: How long a tick waits for a reading where an older one is there.
PATIENCE = timedelta(seconds=0.5)


@dataclass(slots=True)
class BrakeFacts:
    """The facts of one replica."""

    book: BrakeBook
    metrics: Metrics
    patience: timedelta = PATIENCE
    last: Sequence[Brake] = ()
    _read_at: datetime | None = None  #: When the last reading began, well or not; None: it is to be read.
    _is_known: bool = False
    _reading: asyncio.Task[None] | None = None

    async def standing(self, now: datetime) -> Sequence[Brake]:
        """Return what stands, read within the last second where the database answers; else what stood before.

        Raises StoreError where it was never read.
        """
        if self._is_fresh(now):
            return self.last
        if not self._is_known:
            await self._fresh(now)
            return self.last
        reading = self._begin(now)
        await asyncio.wait({reading}, timeout=self.patience.total_seconds())
        if reading.done():
            with suppress(StoreError):
                reading.result()
        return self.last

    async def refresh(self, now: datetime) -> None:
        """Read it now, and end what is over. Raises StoreError."""
        self.forget()
        await self._fresh(now)
        if any(not each.is_on(now) for each in self.last):
            for each in await self.book.expire_brakes(now):
                log.info("brake.expired", because=each.because)
            self.forget()
            await self._fresh(now)

    def forget(self) -> None:
        """Somebody changed it: who asks next waits for a new reading; what is being read is too old."""
        self._read_at = self._reading = None

    async def aclose(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _is_fresh(self, now: datetime) -> bool:
        return self._is_known and self._read_at is not None and timedelta(0) <= now - self._read_at < GOOD_FOR

    async def _fresh(self, now: datetime) -> None:
        """Return once a reading came that nobody declared too old."""
        while self._read_at is None:
            await asyncio.shield(self._begin(now))

    def _begin(self, now: datetime) -> asyncio.Task[None]:
        """Return the reading that is under way, or a new one: all who ask at once share it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(now), name="brakes")
            self._reading.add_done_callback(_seen)
        return self._reading

    async def _read(self, now: datetime) -> None:
        me = asyncio.current_task()
        try:
            found = await self.book.brakes()
        except StoreError:
            if self._reading is me and self._is_known:
                self._read_at = now
            raise
        if self._reading is not me:
            return
        self._read_at, self.last, self._is_known = now, found, True
        on = [each.scope for each in found if each.is_on(now)]
        lines = {scope.project for scope in on if scope.kind is BrakeKind.LINE}
        self.metrics.brakes(lines, len({scope.agent for scope in on if scope.kind is BrakeKind.HOLD}))


def _seen(reading: asyncio.Task[None]) -> None:
    """Take note of how a reading ended that nobody waits for any more."""
    if not reading.cancelled():
        reading.exception()
