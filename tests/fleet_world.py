"""Several agents in one world: each with two versions, one store, one source, a clock by hand."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from builders import NOON, a_rollout
from fakes import FakePolicies
from foundry_rollouts.controller.fleet import AllAgents
from foundry_rollouts.controller.offline import OfflineGuard
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.policies.choosing import most_exact
from foundry_rollouts.policies.limits import LimitsInForce
from foundry_rollouts.ports import AgentKnown, AgentSeen, Store, World
from foundry_rollouts.telemetry import Metrics
from small_world import LEASE, TICK, Deaths, KilledError, Mortal, SmallCloud, SmallSource


class Clouds:
    """Hands each call on to the small cloud of its agent; nobody is there until it is made."""

    def __init__(self) -> None:
        self.of: dict[str, SmallCloud] = {}
        self.most = 0  #: Canaries that got traffic at once so far.

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda agent, *args: getattr(self._one(agent), name)(agent, *args)

    def _one(self, agent: str) -> SmallCloud:
        if agent not in self.of:
            raise CloudError("agents.get", Refusal(404, "not_found", f"agent {agent} not found"))
        return self.of[agent]

    async def route(self, agent: str, routing: Routing) -> bool:
        is_answered = await self._one(agent).route(agent, routing)
        self.most = max(self.most, self.under_way)
        return is_answered

    @property
    def under_way(self) -> int:
        """How many canaries get traffic."""
        return sum(1 for cloud in self.of.values() if len(cloud.routing.weights) > 1)

    async def agents(self) -> AsyncIterator[AgentSeen]:
        for name, cloud in self.of.items():
            yield await cloud.agent(name)


@dataclass
class Sources:
    """What the small source of each agent counts; the canaries of ``bad`` fail."""

    clouds: Clouds
    bad: set[str] = field(default_factory=set)
    name: str = "probe"

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        bad_from = 1 if rollout.agent in self.bad else 101
        return await SmallSource(self.clouds.of[rollout.agent], bad_from).measure(rollout, window)

    async def release(self, rollout: str) -> None: ...

    async def close(self) -> None: ...


class ExactPolicies(FakePolicies):
    """The policies that it was given; the one that names an agent most exactly governs it."""

    def policy_for(self, agent: str) -> Policy | None:
        return most_exact(self.given, agent)


@dataclass
class FleetWorld:
    """Everything around the rollouts of several agents; ``open_as`` opens the database as a replica of some name."""

    open_as: Callable[[str], Store]
    policies: tuple[Policy, ...]
    limits: Limits = field(default_factory=Limits)
    clouds: Clouds = field(default_factory=Clouds)
    time: datetime = NOON
    deaths: Deaths = field(default_factory=Deaths)
    replicas: int = 0

    def __post_init__(self) -> None:
        self.source = Sources(self.clouds)

    async def make(self, *agents: str) -> None:
        """Let agents be there that serve version 1."""
        self.clouds.of |= {name: SmallCloud(name) for name in agents}
        store = self.open_as("begin")
        routing = SmallCloud().routing
        known = [AgentKnown(name, latest="2", latest_status="active", routing=routing) for name in self.clouds.of]
        await store.see_agents(known, self.time)

    async def begin(self, agent: str, canary: str = "2", after: int = 0) -> None:
        """Put a pending rollout of an agent that is there into the store."""
        policy = most_exact(self.policies, agent)
        assert policy is not None
        at = self.time + timedelta(seconds=after)
        rollout = a_rollout(
            id=f"{agent}-{canary}", agent=agent, canary=canary, policy=policy, created_at=at, event_count=1
        )
        self.clouds.of[agent].latest = canary
        event = Event(f"{rollout.id}:1", at, "rollout.created", agent, f"version {canary} is new", rollout.id)
        await self.open_as("begin").create(rollout, event, None)

    def ticker(self, store: Any = None) -> tuple[Any, Ticker]:
        """Return a new replica, as after a restart."""
        self.replicas += 1
        store = store or Mortal(self.open_as(f"replica-{self.replicas}"), self.deaths)
        policies = ExactPolicies(self.policies)
        fleet = AllAgents(store, policies, LimitsInForce(self.limits), self.seconds)
        clouds: Any = self.clouds
        world = World(Mortal(clouds, self.deaths), clouds, store, policies, (self.source,), fleet=fleet)
        metrics = Metrics("test")
        return store, Ticker(world, metrics, lambda: self.time, TICK, OfflineGuard(world, metrics, lambda: self.time))

    async def run(self, ticks: int = 1) -> None:
        """Tick whatever is due; a replica that dies is followed by another when its leases are over."""
        store, ticker = self.ticker()
        for _ in range(ticks):
            self.time += TICK
            try:
                await self.sweep(store, ticker)
            except KilledError:
                self.time += LEASE
                store, ticker = self.ticker()

    async def sweep(self, store: Any, ticker: Ticker, most: int = 100) -> None:
        """Tick what is due, one after the other."""
        for lease in await store.claim_due(self.time, most):
            await ticker.tick(lease)
            await store.release(lease)

    def seconds(self) -> float:
        return self.time.timestamp()

    async def rollout(self, agent: str, canary: str = "2") -> Rollout:
        return await self.open_as("reader").rollout(f"{agent}-{canary}")

    async def kinds(self, agent: str, canary: str = "2") -> list[str]:
        """Return the kinds of the events of a rollout so far."""
        events = await self.open_as("reader").history(f"{agent}-{canary}")
        return [event.kind.removeprefix("rollout.") for event in events]
