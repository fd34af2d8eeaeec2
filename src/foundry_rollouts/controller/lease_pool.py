"""The leases that this replica holds, and which of them are in use right now.

A lease is kept from tick to tick, so that one replica watches a rollout all the time; it goes back when the agent has
nothing left to do, and all of them go back when the replica stops.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from foundry_rollouts.errors import LeaseLostError, StoreError
from foundry_rollouts.ports import Choose, Lease, Record, Store

#: How long to try to release leases, and the pause between two tries; in the end they run out by themselves.
TRY_FOR, PAUSE = timedelta(seconds=5), timedelta(milliseconds=50)


class LeasePool:
    """What this replica may act on."""

    def __init__(self, store: Store, elapsed: Callable[[], float] = lambda: 0.0) -> None:
        """Take the seconds of a clock that is never set; without one, no agent ever counts as stalled."""
        self._store = store
        self.elapsed = elapsed
        self._held: dict[str, Lease] = {}
        self._in_use: set[str] = set()
        self._laid_down: dict[str, float] = {}
        self._doubtful: set[str] = set()
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def in_use(self) -> int:
        """How many agents are being acted on."""
        return len(self._in_use)

    def valid(self, now: datetime) -> Sequence[Lease]:
        """Return the leases that nobody else can have taken by ``now`` and that are not in use."""
        return [lease for agent, lease in self._held.items() if lease.until > now and agent not in self._in_use]

    def stalled(self, patience: timedelta) -> Sequence[str]:
        """Return the leased agents without a tick for so long, whatever their due time says.

        The time of day may have been set back, and their due time with it lies far ahead.
        """
        since = self.elapsed() - patience.total_seconds()
        return [
            agent for agent in self._held if agent not in self._in_use and self._laid_down.get(agent, since) < since
        ]

    async def claim_due(self, now: datetime, limit: int, choose: Choose | None = None) -> Sequence[Lease]:
        """Take the leases of agents that are due, those that ``choose`` wants, and hold them unused."""
        if self.is_closed:
            return ()
        return self._kept(await self._store.claim_due(now, limit, tuple(self._in_use), choose))

    async def claim_free(self, now: datetime, limit: int, choose: Choose) -> Sequence[Lease]:
        """Take leases of unfinished rollouts that nobody holds, before they are due, and hold them unused."""
        return () if self.is_closed else self._kept(await self._store.claim_free(now, limit, choose))

    def _kept(self, leases: Sequence[Lease]) -> Sequence[Lease]:
        # What was granted while the pool closed is among what is released last.
        if self.is_closed:
            return ()
        return [self._taken(lease) for lease in leases if lease.agent not in self._in_use]

    def use(self, agent: str, now: datetime) -> Lease | None:
        """Use the lease of ``agent`` as it is held; None where it has to be granted anew, or is in use."""
        lease = self._held.get(agent)
        if lease is None or lease.until <= now or agent in self._doubtful or agent in self._in_use:
            return None
        return self._used(lease)

    def doubt(self, agent: str) -> None:
        """Use the lease of ``agent`` no more as it is: what was sent under it may still arrive."""
        if agent in self._held:
            self._doubtful.add(agent)

    async def acquire(self, agent: str, now: datetime) -> Lease | None:
        """Take the lease of ``agent`` and use it; None while it is in use, here or elsewhere."""
        if agent in self._in_use or self.is_closed:
            return None
        self._in_use.add(agent)
        lease = None
        try:
            lease = await self._store.claim(agent, now)
        finally:
            if lease is None or self.is_closed:
                self._in_use.discard(agent)
        return self._used(self._taken(lease)) if lease and not self.is_closed else None

    async def record(self, agent: str, record: Record, now: datetime) -> bool:
        """Write a fact about ``agent`` down; return False while it is in use, here or elsewhere."""
        is_kept = agent in self._held
        lease = await self.acquire(agent, now)
        if lease is None:
            return False
        try:
            await self._store.record(lease, record)
        except LeaseLostError:
            return False
        finally:
            await self.release(lease, keep=is_kept)
        return True

    def holds(self, agent: str) -> bool:
        """Whether the lease of ``agent`` is held, in use or not."""
        return agent in self._held

    def is_in_use(self, agent: str) -> bool:
        """Whether ``agent`` is being acted on."""
        return agent in self._in_use

    def idle(self, busy: Collection[str] = ()) -> Collection[str]:
        """Return the agents whose leases are held and not in use, without those that are ``busy``."""
        return {agent for agent in self._held if agent not in self._in_use and agent not in busy}

    async def release(self, lease: Lease, *, keep: bool) -> None:
        """End the use of a lease; give it back unless it is to be kept."""
        self._laid_down[lease.agent] = self.elapsed()
        try:
            if not keep:
                self._drop(lease.agent)
                await self._store.release(lease)
        finally:
            self._in_use.discard(lease.agent)

    async def renew(self, now: datetime) -> Sequence[str]:
        """Prolong every lease; return the agents whose lease is lost."""
        if not self._held:
            return ()
        before = dict(self._held)
        kept = {lease.agent: lease for lease in await self._store.renew(list(before.values()), now)}
        # A lease that was granted anew meanwhile has another fence, and is newer than what was asked for here.
        unchanged = [agent for agent, lease in before.items() if self._held.get(agent) is lease]
        for agent in unchanged:
            if agent in kept:
                self._held[agent] = kept[agent]
            else:
                self._drop(agent)
        return [agent for agent in unchanged if agent not in kept]

    async def hand_over(self, agents: Collection[str], now: datetime) -> Sequence[str]:
        """Give the leases of ``agents`` to others, but not those in use; return the agents that are held no more.

        Whether that was done is not known where the database fails: they are held, and granted anew before use.
        """
        leases = [self._held[agent] for agent in agents if agent in self._held and agent not in self._in_use]
        names = {lease.agent for lease in leases}
        self._in_use |= names
        try:
            await self._store.hand_over_some(leases, now)
        except BaseException:
            self._doubtful |= names
            raise
        else:
            for agent in names:
                self._drop(agent)
        finally:
            self._in_use -= names
        return sorted(names)

    def close(self) -> None:
        """Take nothing any more."""
        self.is_closed = True

    async def release_idle(self, now: datetime, busy: Sequence[str] = ()) -> None:
        """Give back at once what is not in use and not ``busy``."""
        await self._free(now, {*self._in_use, *busy})

    async def release_all(self, now: datetime) -> None:
        """Give every lease back, so that others need not wait for it to run out."""
        await self._free(now, set())

    async def _free(self, now: datetime, busy: set[str]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(TRY_FOR.total_seconds()):
                while True:
                    if await self._is_freed(now, busy):
                        break
                    await asyncio.sleep(PAUSE.total_seconds())
        self._held = {agent: lease for agent, lease in self._held.items() if agent in busy}

    async def _is_freed(self, now: datetime, busy: set[str]) -> bool:
        try:
            return await self._store.hand_over(now, sorted(busy))
        except StoreError:
            return False

    def _taken(self, lease: Lease) -> Lease:
        self._doubtful.discard(lease.agent)
        self._held[lease.agent] = lease
        self._laid_down.setdefault(lease.agent, self.elapsed())
        return lease

    def _used(self, lease: Lease) -> Lease:
        self._in_use.add(lease.agent)
        self._held[lease.agent] = lease
        return lease

    def _drop(self, agent: str) -> None:
        self._held.pop(agent, None)
        self._laid_down.pop(agent, None)
        self._doubtful.discard(agent)
