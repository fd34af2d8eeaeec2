"""Agents that cannot be read, decided or recorded: each is reported once, and the others go on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.record import record_of_agent
from foundry_rollouts.core.model.event import number_at, of_agent
from foundry_rollouts.errors import (
    NOT_WHOLE,
    ChangeError,
    CloudError,
    DriftError,
    LeaseLostError,
    StoreError,
    UnreadableError,
)
from foundry_rollouts.ports import Lease, Store, Ticks, Upkeep

log = structlog.get_logger()

UNREADABLE, READABLE = "agent.unreadable", "agent.readable"


@dataclass(slots=True)
class Troubles:
    """What is wrong with single agents, as this replica sees it; what was reported stands in the store."""

    sick: dict[str, str] = field(default_factory=dict)  #: Agents whose ticks fail by a fault of their own.
    unwritten: dict[str, str] = field(default_factory=dict)  #: Agents whose rows the last listing could not write.
    failed_before: dict[str, str] = field(
        default_factory=dict
    )  #: Agents that could not be reconciled at the last listing.

    def well(self, agent: str) -> None:
        """Note that a tick of ``agent`` went well."""
        self.sick.pop(agent, None)

    async def failed(self, store: Store, agent: str, error: Exception) -> None:
        """Note that a tick of ``agent`` failed, unless the whole database is away."""
        if not isinstance(error, StoreError) or await _is_there(store):
            self.sick[agent] = f"its rollout cannot be processed: {said(error)}"

    async def why(self, store: Store, agent: str, error: Exception) -> str | None:
        """Return what is to be reported of an agent that could not be attended; None for what may pass by itself.

        Raises StoreError when the whole database is away.
        """
        match error:
            case UnreadableError():
                return str(error)
            case LeaseLostError() | DriftError() | ChangeError():
                return None  # What the cloud refuses is reported as such.
            case StoreError():
                await store.check()
                return f"it cannot be recorded: {error}"
            case CloudError():
                return self._again(agent, error)
            case _:
                return f"it cannot be processed: {said(error)}"

    def _again(self, agent: str, error: CloudError) -> str | None:
        """Return what the cloud refused, the second time in a row; what keeps us from every agent is not this one's."""
        if error.is_ours and error.refusal.code != NOT_WHOLE:
            return None
        is_first = agent not in self.failed_before
        self.failed_before[agent] = str(error)
        return None if is_first else f"it cannot be processed: {error}"

    async def report(
        self, pool: LeasePool, store: Store, agent: str, why: str | None, now: Callable[[], datetime]
    ) -> None:
        """Write down that an agent is in trouble, or no more; whoever holds it just now keeps it."""
        is_held = pool.holds(agent)
        lease = await pool.acquire(agent, now())
        if lease is None:
            return
        try:
            known = await store.agent(agent)
            was = known.unreadable if known else None
            if (was is None) != (why is None):
                await _record(store, lease, why, now())
        finally:
            await pool.release(lease, keep=is_held)


async def _record(store: Ticks, lease: Lease, why: str | None, now: datetime) -> None:
    kind = READABLE if why is None else UNREADABLE
    because = why or "it can be read, decided and recorded again"
    event = of_agent(lease.agent, kind, because, now, number_at(now))
    await store.record(lease, record_of_agent(event, unreadable=why or ""))
    log.warning(kind, agent=lease.agent, because=because)


async def _is_there(store: Upkeep) -> bool:
    try:
        await store.check()
    except StoreError:
        return False
    return True


def said(error: Exception) -> str:
    """Return an error in words: a fault of ours has its kind for a name."""
    return f"{type(error).__name__}: {error}"
