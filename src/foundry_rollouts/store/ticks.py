"""What a tick reads and writes, together with the ticks that run at the same time."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.exc import DataError, IntegrityError

from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Audience, Intent, Lease, Outcome, Record, Reports, Standing
from foundry_rollouts.store import outcomes, quiet, rollouts, ticking
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.groups import Groups
from foundry_rollouts.store.outcomes import Sessions
from foundry_rollouts.store.quiet import Quiet
from foundry_rollouts.store.wakeups import Bell

#: How many agents are read, and how many quiet records are written, in one transaction.
MAX_READ, MAX_WRITTEN = 64, 128
#: How long a quiet record waits for others, where others came just before: nothing hangs on it.
PAUSE = timedelta(milliseconds=50)
#: Windows of outcomes that begin no longer ago than this are read together.
RECENT = timedelta(minutes=3)


class Ticks:
    """What a tick asks of the store: one read of all that it needs, and one record of what it did."""

    _database: Database
    _bell: Bell
    _on_message: Callable[[], None] | None
    audience: Audience

    def _begin_ticks(self) -> None:
        self._reads = Groups(self._read, most=MAX_READ)
        self._quiet = Groups(self._write_quiet, most=MAX_WRITTEN, pause=PAUSE)
        self._outcomes = Groups(self._read_outcomes, most=MAX_READ)
        self._sessions = Groups(self._read_sessions, most=MAX_READ)
        self._wakes = Groups(self._write_wakes, most=MAX_WRITTEN)

    async def _end_ticks(self) -> None:
        for groups in (self._reads, self._quiet, self._outcomes, self._sessions, self._wakes):
            await groups.close()

    async def standing(self, agent: str) -> Standing:
        """Return all that a tick reads of ``agent``, as of one instant."""
        return (await self._reads.ask(agent)).standing()

    async def record(self, lease: Lease, record: Record, closes: Intent | None = None) -> None:
        """Write down what a tick did, and close the intent that it completes.

        It is durable when this returns. A record that moves nothing is written with others of its kind.
        """
        ticking.refuse_strangers(lease, record, closes)
        found = quiet.quiet(lease, record) if closes is None else None
        if found is None or not await self._quiet.ask(found):
            async with self._database.writing() as connection:
                await ticking.write(connection, lease, record, closes, audience=self.audience)
        if record.event is not None:
            self._wake()

    async def outcomes(self, which: Reports) -> Sequence[Outcome]:
        """Return the outcomes that ``which`` names, in the order in which they came."""
        return await self._outcomes.ask(which)

    async def old_sessions(self, agent: str, sessions: Sequence[str], since: datetime) -> Sequence[str]:
        """Return those of ``sessions`` in which a call began before ``since``."""
        return await self._sessions.ask((agent, sessions, since))

    async def wake(self, rollout: str, now: datetime) -> None:
        """Make ``rollout`` due at once; one that has ended, or that nobody knows, sleeps on."""
        await self._wakes.ask((rollout, now))

    async def _write_wakes(self, wakes: Sequence[tuple[str, datetime]]) -> Sequence[None]:
        async with self._database.writing() as connection:
            agents = await rollouts.wake(connection, [rollout for rollout, _ in wakes], max(now for _, now in wakes))
        if agents:
            self._bell.ring(*agents)
        return [None] * len(wakes)

    async def _read_outcomes(self, asked: Sequence[Reports]) -> Sequence[Sequence[Outcome]]:
        """Read windows together; those that reach far back, as after a rest, each by itself."""
        recent = max(which.received_until for which in asked) - RECENT
        late = [which for which in asked if which.received_from < recent]
        found: dict[int, Sequence[Outcome]] = {}
        async with self._database.reading() as connection:
            for part in ([which for which in asked if which.received_from >= recent], *([which] for which in late)):
                if part:
                    found |= zip(map(id, part), await outcomes.received(connection, part), strict=True)
        return [found[id(which)] for which in asked]

    async def _read_sessions(self, asked: Sequence[Sessions]) -> Sequence[Sequence[str]]:
        async with self._database.reading() as connection:
            return await outcomes.old_sessions(connection, asked)

    async def _read(self, names: Sequence[str]) -> Sequence[ticking.Found]:
        async with self._database.reading() as connection:
            return await ticking.read(connection, names)

    async def _write_quiet(self, records: Sequence[Quiet]) -> Sequence[bool]:
        """Write records together; where one of them cannot be written, each is to be written by itself."""
        try:
            async with self._database.writing() as connection:
                return await quiet.write(connection, records, audience=self.audience)
        except StoreError as error:
            if not isinstance(error.__cause__, DataError | IntegrityError):
                raise
        except (ValueError, TypeError, OverflowError):
            pass
        return [False] * len(records)

    def _wake(self) -> None:
        if self._on_message is not None:
            self._on_message()
