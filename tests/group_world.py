"""Three agents that move in lockstep, small enough to be killed at every touch: one store, a cloud each."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from builders import NOON, a_rollout
from fakes import FakePolicies
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.event import of_creation
from foundry_rollouts.core.model.group import Group
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import AgentKnown, Store, World
from foundry_rollouts.telemetry import Metrics
from small_world import LEASE, Deaths, KilledError, Mortal, SmallCloud, SmallSource, a_quick_policy

NAMES = ("cart", "payment", "shipping")
#: Longer than a lease, so that after a death whoever had its tick waits for the next round, as in a calm run.
ROUND = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
#: A window of so many is proof enough: a short story is killed at every touch in no time.
CALLS = 300

Told = tuple[str, str, int | None, dict[str, int] | None, str]


@dataclass
class Clouds:
    """The clouds of several agents as one."""

    by_agent: dict[str, SmallCloud]

    def __getattr__(self, name: str) -> Any:
        def ask(agent: str, *args: Any) -> Any:
            return getattr(self.by_agent[agent], name)(agent, *args)

        return ask


@dataclass
class Sources:
    """The sources of several agents as one."""

    by_agent: dict[str, SmallSource]
    name: str = "probe"

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        return await self.by_agent[rollout.agent].measure(rollout, window)

    async def release(self, rollout: str) -> None:
        return

    async def close(self) -> None:
        return


@dataclass
class GroupWorld:
    """Everything around the rollouts of a group; ``bad`` says from which weight on an agent's canary fails."""

    open_as: Callable[[str], Store]
    id: str = "g"
    bad: dict[str, int] = field(default_factory=dict)
    deaths: Deaths = field(default_factory=Deaths)
    time: datetime = NOON
    replicas: int = 0
    begun: Sequence[str] = NAMES
    policy: Policy = field(init=False)
    clouds: dict[str, SmallCloud] = field(init=False)
    sources: dict[str, SmallSource] = field(init=False)

    def __post_init__(self) -> None:
        agents = {name: f"{name}-{self.id}" for name in NAMES}
        group = Group("checkout", tuple(agents.values()))
        self.policy = replace(a_quick_policy(group=group), agents=group.agents)
        self.clouds = {agent: SmallCloud(agent) for agent in group.agents}
        self.sources = {
            agent: SmallSource(self.clouds[agent], self.bad.get(name, 101), calls=CALLS)
            for name, agent in agents.items()
        }

    async def begin(self, names: Sequence[str] = NAMES) -> None:
        """Put the agents and their pending rollouts into the store."""
        store, self.begun = self.open_as("begin"), names
        for name in names:
            agent = f"{name}-{self.id}"
            known = AgentKnown(agent, latest="2", latest_status="active", routing=self.clouds[agent].routing)
            await store.see_agents([known], self.time, is_whole=False)
            rollout = a_rollout(id=f"r-{agent}", agent=agent, policy=self.policy, created_at=self.time, event_count=1)
            await store.create(rollout, of_creation(rollout), None)

    async def ask(self, name: str, verb: Verb) -> None:
        """Leave a command of a person."""
        rollout, store = await self.rollout(name), self.open_as("api")
        command = Command(
            f"c-{rollout.id}-{verb}", rollout.id, verb, rollout.generation, self.time, "kim", "kim said so"
        )
        await store.accept(command)

    def ticker(self) -> tuple[Store, Ticker]:
        """Return a new replica, as after a restart."""
        self.replicas += 1
        return self.ticker_of(self.open_as(f"replica-{self.replicas}"))

    def ticker_of(self, opened: Store) -> tuple[Store, Ticker]:
        """Return the replica that has ``opened`` the database."""
        store: Any = Mortal(opened, self.deaths)
        cloud: Any = Mortal(Clouds(self.clouds), self.deaths)
        world = World(cloud, cloud, store, FakePolicies((self.policy,)), (Sources(self.sources),))
        metrics = Metrics("test")
        return store, Ticker(world, metrics, self.now, ROUND, OfflineGuard(world, metrics, self.now))

    def now(self) -> datetime:
        return self.time

    async def run(self, rounds: int = 30) -> dict[str, Rollout]:
        """Tick in rounds until all rollouts that began have ended; return them by name."""
        store, ticker = self.ticker()
        since = self.time
        for number in range(1, rounds + 1):
            if await self.is_over():
                break
            self.time = since + number * ROUND
            is_left = True
            while is_left:
                try:
                    is_left = await tick_due(store, ticker, self.time)
                except KilledError:
                    self.time += LEASE
                    store, ticker = self.ticker()
                self.time += SECOND
        return {name: await self.rollout(name) for name in self.begun}

    async def is_over(self) -> bool:
        rollouts = [await self.rollout(name) for name in self.begun]
        reader = self.open_as("reader")
        return all([each.phase.is_final and await reader.intent(each.agent) is None for each in rollouts])

    async def rollout(self, name: str) -> Rollout:
        return await self.open_as("reader").rollout(f"r-{name}-{self.id}")

    def weights(self) -> dict[str, int]:
        """Return the weight of each canary as the cloud has it."""
        return {name: self.clouds[f"{name}-{self.id}"].routing.weight("2") for name in NAMES}

    async def history(self) -> list[Told]:
        """Return what each agent's history tells, without the times, and the counts and odds that depend on them."""
        return [told for name in NAMES for told in await self.history_of(name)]

    async def history_of(self, name: str) -> list[Told]:
        events = await self.open_as("reader").history(f"r-{name}-{self.id}")
        return [(name, e.kind, e.step, e.weights, self._calm(e.because)) for e in events]

    def _calm(self, because: str) -> str:
        return re.sub(r"\d+ of \d+|evidence .*", "...", because.replace(f"-{self.id}", ""))


async def tick_due(store: Store, ticker: Ticker, now: datetime) -> bool:
    """Tick who is due, in the order of their names so that every run is the same; return whether anybody was."""
    leases = await store.claim_due(now, 10)
    for lease in sorted(leases, key=lambda lease: lease.agent):
        await ticker.tick(lease)
        await store.release(lease)
    return bool(leases)
