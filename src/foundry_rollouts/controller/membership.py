"""Which replicas are alive, and so which agents are this one's to take.

Nothing here decides: leases do. While the heartbeats cannot be read, everybody takes what is due, as if alone.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from foundry_rollouts.controller.owners import Owners
from foundry_rollouts.errors import StoreError
from foundry_rollouts.ports import Due, Heartbeats, Leased

log = structlog.get_logger()


@dataclass(slots=True)
class Membership:
    """What this replica knows of the others, by its heartbeats; ``elapsed`` is a clock that is never set."""

    store: Heartbeats
    elapsed: Callable[[], float]
    lease: timedelta  #: How long a replica counts as alive, and its agents are left to it.
    owners: Owners = field(default_factory=lambda: Owners(""))
    leased: int = 0  #: The leases of all replicas.
    _beaten_at: float | None = None
    _is_lost: bool = False
    _has_left: bool = False
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _left_alone: dict[str, float] = field(default_factory=dict)  #: Since when an agent of another one waits for it.
    _adopted: dict[str, float] = field(default_factory=dict)  #: Since when an agent of another one is here.

    @property
    def patience(self) -> float:
        """For how many seconds an agent is left to an owner that does not take it."""
        return self.lease.total_seconds() / 3

    @property
    def fair_share(self) -> float:
        """How many of the leases of all replicas would be here if each had as many."""
        return self.leased / max(1, len(self.owners.live))

    async def beat(self) -> bool:
        """Write this replica's heartbeat and learn of the others; return whether the live replicas are others now."""
        async with self._writing:
            return await self._beat()

    async def _beat(self) -> bool:
        before = self.owners
        if self._has_left:
            return False
        try:
            self._learn(await self.store.beat())
        except StoreError as error:
            if not self._is_lost:
                log.warning("heartbeats.lost", because=f"{error}; the leases alone say who acts until they are back")
            self._is_lost = True
            if self._beaten_at is None or self.elapsed() - self._beaten_at > self.lease.total_seconds():
                self.owners = Owners(before.replica)
        return before.live != self.owners.live

    async def leave(self) -> None:
        """Take this replica's heartbeat away, so that the others take its agents at once."""
        self._has_left = True
        try:
            async with self._writing:
                await self.store.leave()
        except StoreError as error:
            log.warning("heartbeats.lost", because=f"{error}; the others notice after the lease time")

    def chosen(self, due: Sequence[Due]) -> list[Due]:
        """Return those of the agents that are due which this replica is to take.

        An agent that its owner leaves alone for too long is everybody's.
        """
        us = self.owners.replica
        ours = [each for each in due if each.holder == us or self.owners.is_ours(each.agent, each.holder)]
        own, now = {each.agent for each in ours}, self.elapsed()
        self._left_alone = {each.agent: self._left_alone.get(each.agent, now) for each in due if each.agent not in own}
        stranded = [each for each in due if now - self._left_alone.get(each.agent, now) > self.patience]
        self._adopted |= {each.agent: now for each in stranded}
        return [*ours, *stranded]

    def foreign(self, agents: Collection[str]) -> list[str]:
        """Return those of ``agents`` that are to go to their owners; what an owner left alone stays for a while."""
        now = self.elapsed()
        until = now - self.lease.total_seconds()
        self._adopted = {agent: at for agent, at in self._adopted.items() if at > until and agent in agents}
        return [agent for agent in agents if not self.owners.is_ours(agent) and agent not in self._adopted]

    def _learn(self, present: Leased) -> None:
        if self._is_lost:
            log.info("heartbeats.found")
        self._is_lost, self._beaten_at, self.leased = False, self.elapsed(), present.leases
        if present.live != self.owners.live or present.replica != self.owners.replica:
            if self.owners.is_known or len(present.live) > 1:
                log.info("replicas.changed", live=sorted(present.live))
            self.owners = Owners(present.replica, present.live)
