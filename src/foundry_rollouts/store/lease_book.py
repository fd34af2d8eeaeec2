"""The leases of a store: every promise of ``ports.Leases`` and ``ports.Heartbeats``, each kept in one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from foundry_rollouts.ports import Choose, Lease, Leased
from foundry_rollouts.store import heartbeats, leases, outbox, rollouts
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.kept_evidence import KeptEvidence
from foundry_rollouts.store.wakeups import Bell

#: How long one try to hand leases over may take: a replica that stops has no time for a connection that fell silent.
HAND_OVER_LIMIT = timedelta(seconds=1)
#: How long a heartbeat may take: ownership is a convenience, and nothing waits for it.
HEARTBEAT_LIMIT = timedelta(seconds=2)
#: How long a replica that stops may take to say so.
LEAVE_LIMIT = timedelta(seconds=0.3)
#: How many leases are renewed or handed over in one transaction.
BATCH = 500


class LeaseBook:
    """What the lease pool asks of the store."""

    _database: Database
    _holder: leases.Holder
    _bell: Bell
    _kept: KeptEvidence
    heartbeats: heartbeats.HeartbeatBook
    _has_joined: bool = False

    async def take_over(self) -> None:
        """Free what an earlier replica held; for the only replica of an embedded database."""
        async with self._database.writing() as connection:
            await leases.free_all(connection)
            await outbox.free_all(connection)
            await heartbeats.forget_all(connection)

    async def claim_due(
        self, now: datetime, limit: int, busy: Sequence[str] = (), choose: Choose | None = None
    ) -> Sequence[Lease]:
        """Take the leases of agents that are due, at most ``limit``, those that wait longest first."""
        async with self._database.writing() as connection:
            due = await leases.due(connection, self._holder, now, busy, limit if choose is None else leases.MOST_DUE)
            wanted = list(due if choose is None else choose(due))[:limit]
            return self._kept.granted(await leases.claim_due(connection, self._holder, now, wanted))

    async def claim_free(self, now: datetime, limit: int, choose: Choose) -> Sequence[Lease]:
        """Take the leases of agents with unfinished rollouts that no replica holds, whenever they are due."""
        async with self._database.writing() as connection:
            free = await leases.free_ones(connection, now, leases.MOST_DUE)
            wanted = list(choose(free))[:limit]
            return self._kept.granted(await leases.claim_due(connection, self._holder, now, wanted))

    async def claim(self, agent: str, now: datetime) -> Lease | None:
        """Take the lease of ``agent``; None while another replica holds it."""
        self._kept.forget([agent])
        async with self._database.writing() as connection:
            return await leases.claim(connection, self._holder, now, agent)

    async def renew(self, held: Sequence[Lease], now: datetime) -> Sequence[Lease]:
        """Prolong leases that are still ours; the others are left out of the answer."""
        kept: list[Lease] = []
        for at in range(0, len(held), BATCH):
            async with self._database.writing() as connection:
                kept += await leases.renew(connection, self._holder, held[at : at + BATCH], now)
        return kept

    async def hand_over(self, now: datetime, busy: Sequence[str] = ()) -> bool:
        """Free every lease of this replica but those of ``busy``; return whether none was left out."""
        async with self._database.writing(HAND_OVER_LIMIT) as connection:
            agents, is_all = await leases.free(connection, self._holder, busy)
            self._kept.forget(agents)
            await rollouts.make_due(connection, agents, now)
        self._bell.ring_for_all()
        return is_all

    async def hand_over_some(self, held: Sequence[Lease], now: datetime) -> None:
        """Free those leases that are still ours, due at once for their owners."""
        for at in range(0, len(held), BATCH):
            async with self._database.writing() as connection:
                agents = await leases.free_some(connection, held[at : at + BATCH])
                self._kept.forget(agents)
                await rollouts.make_due(connection, agents, now)
            self._bell.ring_for_others(*agents)

    async def beat(self) -> Leased:
        """Write this replica's heartbeat, and return who is alive."""
        async with self._database.writing(HEARTBEAT_LIMIT) as connection:
            present = await self.heartbeats.beat(connection, self._holder)
        if not self._has_joined:
            self._has_joined = True
            self._bell.ring_for_all()
        return present

    async def leave(self) -> None:
        """Take this replica's heartbeat away; the others are rung by what is handed over then."""
        async with self._database.writing(LEAVE_LIMIT) as connection:
            await self.heartbeats.leave(connection, self._holder)
