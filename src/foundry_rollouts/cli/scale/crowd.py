"""Rollouts in progress, written as ticks would have written them, and what callers report of them."""

import asyncio
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.cli.scale.cloud import CANARY, STABLE, agent_shown, name_of
from foundry_rollouts.cli.scale.database import Measured
from foundry_rollouts.clock import now
from foundry_rollouts.controller.new_versions import marks_after
from foundry_rollouts.controller.record import record_of_agent, record_of_rollout
from foundry_rollouts.core.model.event import of_rollout
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.foundry.wire import agent_details
from foundry_rollouts.ports import AgentKnown, Outcome, Record
from foundry_rollouts.store.store import SqlStore

#: Slow steps: whoever is not made to fail is in progress for as long as anything is measured.
POLICY = """
name: scale
agents: ["scale-*"]
steps:
  - {weight: 10, min: 12h, max: 48h}
  - {weight: 100, min: 12h}
deadline: 168h
warm-up: 0s
ready-within: off
sources: {outcomes: {}}
gates:
  - error-rate: {sources: [outcomes], max: 50%}
"""
WEIGHT = 10
AGE = timedelta(minutes=10)  #: Of each rollout, at the beginning.
WRITERS = 8  #: Rollouts that are written at the same time.
BATCH = 300  #: Outcomes that are written in one transaction: as many as a caller may report at once.
#: Calls of each version that leave no doubt when all of the canary's fail and none of stable's does.
PROOF = 16

_number = itertools.count()


@dataclass(slots=True)
class Crowd:
    """The rollouts of one database; those that were made to fail are no longer counted."""

    store: SqlStore
    policy: Policy
    cadence: timedelta
    dice: random.Random
    living: list[str] = field(default_factory=list)  #: Agents whose rollout is in progress.
    written: int = 0  #: Agents that were ever written.

    async def grow(self, to: int) -> None:
        """Write rollouts until so many are in progress, each due at a moment of the cadence to come."""
        names = [name_of(number) for number in range(self.written, self.written + to - len(self.living))]
        if not names:
            return
        await self.store.see_agents([known(name) for name in names], now(), is_whole=False)
        todo = iter(names)
        await asyncio.gather(*(self._write_all(todo) for _ in range(WRITERS)))
        self.written += len(names)
        self.living += names

    async def _write_all(self, names: Iterator[str]) -> None:
        for name in names:
            await self._write(name)

    async def _write(self, name: str) -> None:
        began = now() - AGE
        rollout = Rollout(
            id=f"rollout-of-{name}",
            agent=name,
            canary=CANARY,
            stable=STABLE,
            policy=self.policy,
            created_at=began,
            phase=Phase.PROGRESSING,
            step=1,
            because="the canary takes its first step",
            started_at=began,
            step_started_at=began,
            measured_until=now(),
        )
        event = of_rollout(rollout, "rollout.started", rollout.because, began)
        lease = await self.store.claim(name, now())
        if lease is None:
            raise RuntimeError(f"{name} is held by another replica: the database is not the bench's own")
        await self.store.record(lease, facts_of(name))
        await self.store.create(rollout, event, None)
        due_at = now() + self.cadence * (0.2 + self.dice.random())
        await self.store.record(lease, record_of_rollout(rollout, due_at=due_at))

    def leave(self, agents: Iterable[str]) -> None:
        """Count these no longer: they were made to fail."""
        gone = set(agents)
        self.living = [name for name in self.living if name not in gone]

    async def report(self, outcomes: Sequence[Outcome]) -> None:
        """Write outcomes down as if callers had reported them; nothing is made due by that."""
        for at in range(0, len(outcomes), BATCH):
            await self.store.report(outcomes[at : at + BATCH])

    async def talk(self, database: Measured) -> None:
        """Write one good call of each version of each rollout in each cadence, evenly, until cancelled.

        A short cadence does not make more calls: a hundred good ones would need more than a few failures.
        """
        pause = max(self.cadence.total_seconds(), 30) / 60
        while True:
            share = max(len(self.living) // 60, 1)
            for part in (self.living[at : at + share] for at in range(0, len(self.living), share)):
                await database.write_good_calls(part, (STABLE, CANARY), now())
                await asyncio.sleep(pause)
            if not self.living:
                await asyncio.sleep(pause)


def facts_of(name: str) -> Record:
    """Return the record of an agent whose two versions were both considered, and of which the first is stable."""
    seen = agent_details(agent_shown(name, WEIGHT)).seen
    marks = marks_after(seen, AgentKnown(name, stable=STABLE, newest=CANARY))
    return record_of_agent(stable=STABLE, newest=CANARY, marks=marks)


def known(name: str, weight: int = WEIGHT) -> AgentKnown:
    """Return an agent as discovery would have noted it."""
    seen = agent_details(agent_shown(name, weight)).seen
    return AgentKnown(name, latest=CANARY, latest_status="active", routing=seen.routing, policy="scale")


def good(agent: str, version: str, at: datetime) -> Outcome:
    """Return a call that went well."""
    return _outcome(agent, version, at, cause=None)


def failing(agent: str, at: datetime) -> list[Outcome]:
    """Return calls that leave no doubt: all of the canary's failed, and none of stable's; one less is no proof yet."""
    bad = [_outcome(agent, CANARY, at, cause="error") for _ in range(PROOF)]
    return bad + [good(agent, STABLE, at) for _ in range(PROOF)]


def _outcome(agent: str, version: str, at: datetime, cause: str | None) -> Outcome:
    return Outcome(
        id=f"call-{next(_number)}",
        agent=agent,
        version=version,
        at=at,
        received_at=at,
        cause=cause,
        latency=timedelta(milliseconds=120),
    )


def as_reports(outcomes: Iterable[Outcome]) -> list[dict[str, object]]:
    """Return outcomes as a caller reports them."""
    return [
        {
            "id": each.id,
            "agent": each.agent,
            "version": each.version,
            "at": each.at.isoformat(),
            "status": 500 if each.cause else 200,
            "latency_ms": 120.0,
        }
        for each in outcomes
    ]
