"""The notices of a store: every promise of ``ports.NoticeBox``, each kept in one transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime

from foundry_rollouts.ports.notices import News, Notice, NoticeWork, TargetState
from foundry_rollouts.store import notices
from foundry_rollouts.store.engine import Database


class Notices:
    """What the announcer asks of the store."""

    _database: Database

    async def distribute(self, now: datetime, limit: int, choose: Callable[[News], Sequence[str]]) -> int:
        """Turn the oldest news into notices to the targets that ``choose`` names; return how many were news."""
        async with self._database.writing() as connection:
            return await notices.distribute(connection, now, limit, choose)

    async def take_notices(self, target: str, now: datetime, limit: int, until: datetime) -> Sequence[Notice]:
        """Claim due notices to ``target`` until then."""
        async with self._database.writing() as connection:
            return await notices.take(connection, target, now, limit, until)

    async def mark_sent(self, notice: Notice, now: datetime) -> None:
        """Note that the target has it."""
        async with self._database.writing() as connection:
            await notices.mark_sent(connection, notice, now)

    async def put_off(self, notice: Notice, due_at: datetime, because: str | None) -> None:
        """Put a notice back until then; without a reason it was not tried."""
        async with self._database.writing() as connection:
            await notices.put_off(connection, notice, due_at, because)

    async def drop(self, notice: Notice, now: datetime, because: str) -> None:
        """Give a notice up."""
        async with self._database.writing() as connection:
            await notices.drop(connection, notice, now, because)

    async def notice_work(self, now: datetime) -> NoticeWork:
        """Return what there is to do by now."""
        async with self._database.reading() as connection:
            return await notices.work(connection, now)

    async def target_states(self, now: datetime) -> Sequence[TargetState]:
        """Return how the notices to each target fare that has any."""
        async with self._database.reading() as connection:
            return await notices.states(connection, now)

    async def forget_notices(self, known: Sequence[str], before: datetime) -> int:
        """Forget what is over, and what is for nobody."""
        async with self._database.writing() as connection:
            return await notices.forget(connection, known, before)
