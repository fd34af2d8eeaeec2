"""Several projects that are listed: one in trouble keeps nothing from the others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from fakes import FakePolicies
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.projects import UNWATCHED, Discoveries, ProjectState
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError, Refusal, UnavailableError
from foundry_rollouts.foundry.projects import Projects
from foundry_rollouts.ports import AgentSeen
from foundry_rollouts.telemetry import Metrics
from small_world import TICK, SmallCloud, SmallWorld, a_quick_policy

Trouble = Callable[[], Awaitable[None]]


@dataclass
class OneProject(SmallCloud):
    """A project with two agents; what is awaited between them may go wrong."""

    between: Trouble | None = None
    is_empty: bool = False

    async def agents(self) -> AsyncIterator[AgentSeen]:
        if self.is_empty:
            return
        yield await self.agent("billing")
        if self.between:
            await self.between()
        yield await self.agent(self.name)


@dataclass
class Two:
    """Two projects whose agents are named alike."""

    world: SmallWorld
    clouds: Mapping[str, OneProject] = field(
        default_factory=lambda: {
            name: OneProject(latest="1", routing=Routing.of({LATEST: 100})) for name in ("sales", "emea")
        }
    )
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    found: Discoveries = field(init=False)

    def __post_init__(self) -> None:
        cloud = Projects(cast("Any", self.clouds))
        _, ticker = self.world.ticker()
        store = self.world.open_as("here")
        pool, troubles, now = LeasePool(store, lambda: 0.0), Troubles(), self.world.now
        states = {}
        for name in self.clouds:
            policies = FakePolicies((a_quick_policy(agents=("*",)),))
            world = replace(ticker.world, cloud=cloud.listing(name), store=store, policies=policies)
            discovery = Discovery(world, self.metrics, pool, now, lambda at: f"r-{at}", project=name)
            states[name] = ProjectState(discovery)
        self.found = Discoveries(states, self.metrics, now, 3 * TICK, store, pool, troubles)

    async def discover(self) -> None:
        self.world.time += TICK
        await self.found.discover()

    async def gone(self) -> dict[str, bool]:
        return {agent.name: agent.is_gone for agent in await self.found.store.agents() if "/" in agent.name}

    def well(self) -> dict[str, bool]:
        return {each.name: each.is_well for each in self.found.conditions(self.world.time)}

    def shown(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"foundry_rollouts_{name}", labels)


@pytest.fixture
async def two(world: SmallWorld) -> AsyncIterator[Two]:
    both = Two(world)
    yield both
    await both.found.close()


def failing(status: int | None, code: str) -> Trouble:
    async def fail() -> None:
        raise CloudError("agents.list", Refusal(status, code, "no"))

    return fail


ALL = ("emea/billing", "emea/support-agent", "sales/billing", "sales/support-agent")


@pytest.mark.parametrize(
    "trouble", [failing(401, "unauthorized"), failing(None, "connection"), failing(None, "not_whole")]
)
async def test_a_listing_that_breaks_off_takes_nothing_from_the_other_project(two: Two, trouble: Trouble) -> None:
    await two.discover()
    assert await two.gone() == dict.fromkeys(ALL, False)
    two.clouds["sales"].between, two.clouds["emea"].is_empty = trouble, True
    await two.discover()
    assert await two.gone() == {name: name.startswith("emea") for name in ALL}
    assert two.well() == {"project sales": False, "project emea": True}
    two.clouds["sales"].between, two.clouds["emea"].is_empty = None, False
    await two.discover()
    assert await two.gone() == dict.fromkeys(ALL, False)
    assert two.well() == {"project sales": True, "project emea": True}


async def test_a_listing_that_hangs_delays_the_other_project_once_at_most(two: Two) -> None:
    hangs = asyncio.Event()

    async def hang() -> None:
        await hangs.wait()

    await two.discover()
    two.clouds["sales"].between = hang
    two.found.wait = TICK * 0
    while not two.found.states["sales"].is_late:
        await two.found.discover()
    # From now on nobody waits for it, so that a patience of any length is none.
    two.found.wait = TICK * 1000
    if (other := two.found.states["emea"].task) is not None:
        await asyncio.wait([other])
    for _ in range(4):
        await two.discover()
    assert two.well() == {"project sales": False, "project emea": True}
    assert await two.gone() == dict.fromkeys(ALL, False)
    hangs.set()
    while not two.well()["project sales"]:
        await two.discover()
    assert await two.gone() == dict.fromkeys(ALL, False)


async def test_all_projects_away_are_a_cloud_that_is_away(two: Two) -> None:
    for cloud in two.clouds.values():
        cloud.between = failing(503, "unavailable")
    with pytest.raises(UnavailableError, match=r"project sales: agents\.list: HTTP 503 .*; project emea: agents\.list"):
        await two.discover()


async def test_what_is_wrong_is_counted_over_all_projects(two: Two) -> None:
    two.clouds["sales"].unreadable = "rule 1 is unknown"
    await two.discover()
    assert two.shown("agents_unreadable") == 2
    assert two.shown("agent_problem", agent="sales/billing", problem="unreadable") == 1
    two.clouds["emea"].unreadable = "rule 1 is unknown"
    two.clouds["sales"].unreadable = None
    await two.discover()
    assert two.shown("agents_unreadable") == 2
    assert two.shown("agent_problem", agent="sales/billing", problem="unreadable") is None
    assert two.shown("agent_problem", agent="emea/billing", problem="unreadable") == 1
    assert two.shown("project_discovery_age_seconds", project="emea") == 0


async def test_agents_of_a_project_that_is_taken_out_are_reported_once_and_again_when_it_is_back(two: Two) -> None:
    await two.discover()
    states = dict(two.found.states)
    two.found.states = {"sales": states["sales"]}
    await two.found.let_go(["emea"])
    for _ in range(2):
        await two.discover()
    known = {agent.name: agent.unreadable for agent in await two.found.store.agents() if "/" in agent.name}
    why = f"project emea is {UNWATCHED}"
    assert known == {name: why if name.startswith("emea") else None for name in ALL}
    assert two.well() == {"project sales": True, "project emea": False}
    two.found.states = states
    await two.found.let_go([])
    await two.discover()
    assert {agent.unreadable for agent in await two.found.store.agents()} == {None}


async def test_readiness_names_each_project_and_one_that_is_away_leaves_the_service_ready(two: Two) -> None:
    two.clouds["sales"].between = failing(401, "unauthorized")
    await two.discover()
    jobs = JobHealth(swept_at=two.world.time, discovered_at=two.world.time)
    readiness = Readiness(two.found.store, FakePolicies(), jobs, TICK, projects=two.found)
    lines = {each.name: each for each in await readiness.conditions(two.world.time)}
    assert "HTTP 401" in lines["project sales"].because
    assert all(each.is_well or not each.is_essential for each in lines.values())


async def test_what_nobody_watches_is_refused_by_name(two: Two) -> None:
    cloud = Projects(cast("Any", two.clouds))
    for name, said in (
        (
            "apac/billing",
            "project apac is not among FOUNDRY_ROLLOUTS_PROJECTS (sales, emea): nobody watches its agents",
        ),
        ("billing", "agent billing names no project that is among"),
    ):
        with pytest.raises(CloudError) as refused:
            await cloud.agent(name)
        assert said in str(refused.value)
        assert refused.value.is_ours
    assert {agent.name async for agent in cloud.agents()} == set(ALL)
