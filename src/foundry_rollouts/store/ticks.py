"""What a tick reads and writes, together with the ticks that run at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Admission, Audience, Intent, Lease, Outcome, Record, Reports, Standing
from foundry_rollouts.store import fleet, intents, leases, outcomes, rollouts, ticking, together
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.groups import Groups
from foundry_rollouts.store.kept_evidence import KeptEvidence
from foundry_rollouts.store.outcomes import Sessions
from foundry_rollouts.store.together import Plain
from foundry_rollouts.store.wakeups import Bell

T = TypeVar("T")

#: How many agents are read, and how many plain records are written, in one transaction.
MAX_READ, MAX_WRITTEN = 64, 128
#: How long a plain record waits for others, where others came just before: nothing hangs on it.
PAUSE = timedelta(milliseconds=50)
#: How long an intent waits for those that are written before it.
QUEUE_LIMIT = timedelta(seconds=2)
#: What a server says where two transactions wait for each other, or came between each other: none of it is done.
_ENTANGLED = {"40P01", "40001"}
#: Windows of outcomes that begin no longer ago than this are read together.
RECENT = timedelta(minutes=3)


class Ticks:
    """What a tick asks of the store: one read of all that it needs, and one record of what it did."""

    _database: Database
    _bell: Bell
    _on_message: Callable[[], None] | None
    audience: Audience

    def _begin_ticks(self) -> None:
        self._kept = KeptEvidence()
        self._reads = Groups(self._read, most=MAX_READ)
        self._plain = Groups(self._write_plain, most=MAX_WRITTEN, pause=PAUSE)
        self._opened = Groups(self._open_intents, most=MAX_WRITTEN)
        self._outcomes = Groups(self._read_outcomes, most=MAX_READ)
        self._sessions = Groups(self._read_sessions, most=MAX_READ)
        self._released = Groups(self._free, most=MAX_WRITTEN)
        self._wakes = Groups(self._write_wakes, most=MAX_WRITTEN)

    async def _end_ticks(self) -> None:
        by_ticks = (self._reads, self._plain, self._opened, self._released)
        for groups in (*by_ticks, self._outcomes, self._sessions, self._wakes):
            await groups.close()

    async def standing(self, agent: str) -> Standing:
        """Return all that a tick reads of ``agent``, as of one instant."""
        return (await self._reads.ask(agent)).standing(self._kept)

    async def record(self, lease: Lease, record: Record, closes: Intent | None = None) -> None:
        """Write down what a tick did, and close the intent that it completes.

        It is durable when this returns. A plain record is written with others of its kind.
        """
        ticking.refuse_strangers(lease, record, closes)
        found = together.plain(lease, record, closes)
        if found is None or not await self._plain.ask(found):
            async with self._database.writing() as connection:
                await ticking.write(connection, lease, record, closes, audience=self.audience)
        self._kept.keep(record)
        if record.event is not None:
            self._wake()

    async def open_intent(self, lease: Lease, intent: Intent, admission: Admission | None = None) -> None:
        """Write an intent down; raises ConflictError while another one of the agent is open."""
        if admission is None and await self._is_opened_with_others(lease, intent):
            return
        async with self._database.writing() as connection:
            await leases.require(connection, lease)
            if admission is not None:
                await fleet.hold_starts(connection)
                admission.refuse(await fleet.read(connection, admission.asked))
            await intents.open_intent(connection, intent)

    async def _is_opened_with_others(self, lease: Lease, intent: Intent) -> bool:
        """Whether it was written with others; who waits long for those before, as on a silent server, goes alone."""
        try:
            async with asyncio.timeout(QUEUE_LIMIT.total_seconds()):
                return await self._opened.ask((lease, intent))
        except TimeoutError:
            return False

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that is lost already is left alone."""
        await self._released.ask(lease)

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

    async def _free(self, held: Sequence[Lease]) -> Sequence[None]:
        async with self._database.writing() as connection:
            self._kept.forget(await leases.free_some(connection, held))
        return [None] * len(held)

    async def _open_intents(self, asked: Sequence[tuple[Lease, Intent]]) -> Sequence[bool]:
        return await self._together(asked, intents.open_each)

    async def _write_plain(self, records: Sequence[Plain]) -> Sequence[bool]:
        return await self._together(records, partial(together.write, audience=self.audience))

    async def _together(
        self, asked: Sequence[T], write: Callable[[AsyncConnection, Sequence[T]], Awaitable[Sequence[bool]]]
    ) -> Sequence[bool]:
        """Write what was asked for in one go; where a part of it cannot be written, each is to be written by itself."""
        try:
            async with self._database.writing() as connection:
                return await write(connection, asked)
        except StoreError as error:
            cause = error.__cause__
            if not isinstance(cause, DataError | IntegrityError) and _state_of(cause) not in _ENTANGLED:
                raise
        except (ValueError, TypeError, OverflowError):
            pass
        return [False] * len(asked)

    def _wake(self) -> None:
        if self._on_message is not None:
            self._on_message()


def _state_of(error: BaseException | None) -> str | None:
    """Return the five characters by which the server says what went wrong; None where it is none of its words."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)
