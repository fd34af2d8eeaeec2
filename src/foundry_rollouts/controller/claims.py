"""Which leases this replica takes, and which it hands over: its owners say so, and the leases decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.membership import Membership
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.controller.tick_loop import TickLoop
from foundry_rollouts.ports import Due, Lease

log = structlog.get_logger()

#: How many leases are claimed in one transaction.
CLAIMED_AT_ONCE = 500
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Claims:
    """Takes what is due and this replica's, wakes what it holds, and hands over what others own."""

    pool: LeasePool
    loop: TickLoop
    membership: Membership
    ticker: Ticker
    _is_news: bool = True  #: A replica may have joined or left.
    _ahead_until: datetime = NEVER  #: Until then leases are taken before their rollouts are due.

    def hear(self, agents: Sequence[str]) -> bool:
        """Tick ``agents`` that are held at once; return whether others of them are to be claimed.

        No agents: any may be due, and a replica may have joined or left.
        """
        if not agents:
            self._is_news = True
            return True
        others = self.loop.wake(agents)
        return any(self.membership.owners.is_ours(agent) for agent in others)

    async def beat(self) -> None:
        """Say that this replica is alive, and hand over what others own by now: nothing in use, nothing unsaved."""
        self._is_news = False
        if await self.membership.beat() or self._ahead_until == NEVER:
            # Leases that a replica left behind run out within this time.
            self._ahead_until = self.ticker.now() + self.membership.lease + timedelta(seconds=5)
        foreign = self.membership.foreign(self.pool.idle(self.ticker.offline.unsaved))
        if not foreign or self.pool.is_closed:
            return
        handed_over = await self.pool.hand_over(foreign, self.ticker.now())
        for agent in handed_over:
            await self.loop.lost(agent)
        log.info("leases.handed_over", count=len(handed_over), because="other replicas own those agents now")

    async def claim_all(self) -> None:
        """Take all that is due and to be taken here, and ahead of time what nobody holds. Raises StoreError.

        Ticks begin once all is held: a failure that a source sees meanwhile finds its rollout in hand.
        """
        if self._is_news:
            await self.beat()
        try:
            while await self._claim() == CLAIMED_AT_ONCE:
                continue
            if self.ticker.now() < self._ahead_until:
                while await self._claim_ahead() == CLAIMED_AT_ONCE:
                    continue
        finally:
            self.loop.pump()

    async def _claim(self) -> int:
        """Take the leases of some agents that are due, and tick them; wake those that are held already."""
        now = self.ticker.now()

        def choose(due: Sequence[Due]) -> Sequence[Due]:
            for each in due:
                if self.pool.holds(each.agent):
                    self.loop.overlooked(each.agent, each.since, now)
            return self.membership.chosen([each for each in due if not self.pool.holds(each.agent)])

        return self._plan(await self.pool.claim_due(now, CLAIMED_AT_ONCE, choose), now)

    async def _claim_ahead(self) -> int:
        """Take leases that nobody holds, so that each rollout is in hand soon after a replica joined or left."""
        now = self.ticker.now()

        def choose(free: Sequence[Due]) -> Sequence[Due]:
            return [each for each in free if self.membership.owners.is_ours(each.agent, each.holder)]

        return self._plan(await self.pool.claim_free(now, CLAIMED_AT_ONCE, choose), now)

    def _plan(self, leases: Sequence[Lease], now: datetime) -> int:
        for lease in leases:
            self.loop.due.plan(lease.agent, lease.due_at or now)
        return len(leases)
