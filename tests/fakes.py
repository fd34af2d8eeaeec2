"""One fake per port where the real thing would be in the way; the store is always the real one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from builders import NOON, a_policy
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.ports import AgentKnown, Condition, Record
from foundry_rollouts.store.schema import upgrade
from foundry_rollouts.store.store import SqlStore
from in_the_loop import without_threads


@dataclass
class FakePolicies:
    """The policies that it was given."""

    given: tuple[Policy, ...] = field(default_factory=lambda: (a_policy(),))
    problems: Sequence[str] = ()

    def all(self) -> Sequence[Policy]:
        return self.given

    def policy_for(self, agent: str) -> Policy | None:
        return next((policy for policy in self.given if policy.matches(agent) is not None), None)

    def named(self, name: str) -> Policy:
        for policy in self.given:
            if policy.name == name:
                return policy
        raise NotFoundError(f"there is no policy {name}")


@dataclass
class FakeHealth:
    """The conditions that it was given."""

    given: tuple[Condition, ...] = (Condition("database", True, "reachable"),)

    async def conditions(self, now: datetime) -> Sequence[Condition]:
        return self.given


@dataclass
class FakeWake:
    """Counts how often it was rung."""

    rings: int = 0

    def wake_sweep(self) -> None:
        self.rings += 1


#: An upgraded database without rows, made once a process: the migrations take longer than most tests.
_BLANK: list[bytes] = []


def nobody() -> None:
    """Ring at nobody."""


@asynccontextmanager
async def a_store(folder: Path) -> AsyncIterator[SqlStore]:
    """Open the real store in ``folder``, with a receiver; it knows ``support-agent``, whose stable version is 1."""
    database = folder / "history.db"
    if not _BLANK:
        await upgrade(f"sqlite:///{database}")
        _BLANK.append(database.read_bytes())
    database.write_bytes(_BLANK[0])
    store = SqlStore(f"sqlite:///{database}", replica="here", lease=timedelta(seconds=30), on_message=nobody)
    without_threads(store)
    try:
        routing = Routing.of({"1": 100})
        seen = AgentKnown("support-agent", latest="2", latest_status="active", routing=routing, policy="support")
        await store.see_agents([seen], NOON)
        await record(store, "support-agent", Record(stable="1", newest="1"))
        yield store
    finally:
        await store.close()


async def record(store: SqlStore, agent: str, made: Record) -> None:
    """Write ``made`` down as a tick would."""
    lease = await store.claim(agent, NOON)
    assert lease is not None
    await store.record(lease, made)
    await store.release(lease)


async def stand(store: SqlStore, rollout: Rollout) -> Rollout:
    """Put ``rollout`` into the store as it stands, with the event that made it so, and return it."""
    told = replace(rollout, event_count=rollout.event_count + 1)
    event = Event(
        id=f"{told.id}:{told.event_count}",
        at=NOON,
        kind=f"rollout.{told.phase}",
        agent=told.agent,
        because=told.because,
        rollout=told.id,
        step=told.step,
        weights=dict(routing_of(told).weights),
    )
    await record(store, told.agent, Record(event=event, rollout=told, due_at=NOON))
    return told
