"""What a tick reads and writes, together with the ticks that run at the same time."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy.exc import DataError, IntegrityError

from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Audience, Intent, Lease, Record, Standing
from foundry_rollouts.store import quiet, ticking
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.groups import Groups
from foundry_rollouts.store.quiet import Quiet

#: How many agents are read, and how many quiet records are written, in one transaction.
MAX_READ, MAX_WRITTEN = 64, 128
#: How long a quiet record waits for others, where others came just before: nothing hangs on it.
PAUSE = timedelta(milliseconds=50)


class Ticks:
    """What a tick asks of the store: one read of all that it needs, and one record of what it did."""

    _database: Database
    _on_message: Callable[[], None] | None
    audience: Audience

    def _begin_ticks(self) -> None:
        self._reads = Groups(self._read, most=MAX_READ)
        self._quiet = Groups(self._write_quiet, most=MAX_WRITTEN, pause=PAUSE)

    async def _end_ticks(self) -> None:
        await self._reads.close()
        await self._quiet.close()

    async def standing(self, agent: str) -> Standing:
        """Return all that a tick reads of ``agent``, as of one instant."""
        return (await self._reads.ask(agent)).standing()

    async def record(self, lease: Lease, record: Record, closes: Intent | None = None) -> None:
        """Write down what a tick did, and close the intent that it completes.

        It is durable when this returns. A record that tells nothing new is written with others of its kind.
        """
        ticking.refuse_strangers(lease, record, closes)
        found = quiet.quiet(lease, record) if closes is None else None
        if found is not None and await self._quiet.ask(found):
            return
        async with self._database.writing() as connection:
            await ticking.write(connection, lease, record, closes, audience=self.audience)
        if record.event is not None:
            self._wake()

    async def _read(self, names: Sequence[str]) -> Sequence[ticking.Found]:
        async with self._database.reading() as connection:
            return await ticking.read(connection, names)

    async def _write_quiet(self, records: Sequence[Quiet]) -> Sequence[bool]:
        """Write records together; where one of them cannot be written, each is to be written by itself."""
        try:
            async with self._database.writing() as connection:
                return await quiet.write(connection, records)
        except StoreError as error:
            if not isinstance(error.__cause__, DataError | IntegrityError):
                raise
        except (ValueError, TypeError, OverflowError):
            pass
        return [False] * len(records)

    def _wake(self) -> None:
        if self._on_message is not None:
            self._on_message()
