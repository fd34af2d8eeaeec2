"""The stable version was deleted while no rollout is under way: it is said once, and nothing is asked for in vain."""

from dataclasses import replace
from typing import Any

import pytest

from discovered import Discovered
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.presence import AT_A_LISTING, Presence
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import AgentKnown, AgentSeen, VersionSeen, VersionStatus
from small_world import TICK, SmallWorld, a_quick_policy


@pytest.fixture
async def town(world: SmallWorld) -> Discovered:
    """Return an agent whose stable version 1 was deleted; version 2 had its trial."""
    town = Discovered(world, a_quick_policy())
    await town.discover()
    world.source.bad_from = 50
    await town.discover("2")
    await town.tick(8)
    assert world.cloud.routing == Routing.of({"1": 100})
    world.cloud.deleted = "1"
    world.cloud.sent.clear()
    return town


async def test_a_closed_endpoint_without_its_stable_version_is_told_once_and_rests(town: Discovered) -> None:
    cloud = town.world.cloud
    cloud.routing = replace(Routing.of({"2": 100}), is_open=False)
    for _ in range(4):
        await town.discover()
        await town.tick()
    assert cloud.sent == []
    assert await town.world.open_as("reader").intent(town.agent) is None
    assert await town.told("agent.stable_gone") == [
        f"stable version 1 of agent {town.agent} was deleted, the endpoint is version 2 at 100% (endpoint disabled):"
        " nothing is changed until a person enables it or routes to a version"
    ]
    cloud.routing = Routing.of({"2": 100})
    await town.discover()
    assert (await town.known()).stable == "2"


async def test_an_open_endpoint_that_follows_the_latest_is_pinned_to_what_serves(town: Discovered) -> None:
    town.world.cloud.routing = Routing.of({LATEST: 100})
    await town.discover()
    assert town.world.cloud.routing == Routing.of({"2": 100})
    assert (await town.known()).stable == "2"
    assert await town.told("agent.adopted") == [
        f"stable version 1 of agent {town.agent} was deleted, the endpoint served version @latest at 100%:"
        " version 2 is the stable version from now on"
    ]


@pytest.mark.parametrize("routing", [{"1": 80, LATEST: 20}, {"1": 80, "2": 20}])
async def test_a_version_that_was_rolled_back_gets_no_more_because_the_stable_one_is_gone(
    town: Discovered, routing: dict[str, int]
) -> None:
    cloud = town.world.cloud
    cloud.routing = Routing.of(routing)
    for _ in range(3):
        await town.discover()
        await town.tick()
    assert cloud.sent == []
    assert (await town.known()).stable == "1"
    assert len(await town.told("agent.stable_gone")) == 1


async def test_a_pin_that_was_under_way_when_its_version_was_deleted_is_not_sent_again(town: Discovered) -> None:
    cloud = town.world.cloud
    cloud.deleted, cloud.routing = None, replace(Routing.of({LATEST: 100}), is_open=False)
    version = cloud.version

    async def deleted_a_moment_later(agent: str, number: str) -> VersionSeen:
        seen = await version(agent, number)
        cloud.deleted = "1"
        return seen

    cloud.version = deleted_a_moment_later  # type: ignore[method-assign,assignment]
    await town.discover()
    assert await town.world.open_as("reader").intent(town.agent) is not None
    try:
        await town.tick()
    except CloudError:
        pytest.fail("the pin is asked for again and again")
    assert await town.world.open_as("reader").intent(town.agent) is None
    assert cloud.sent == []


async def test_routing_that_names_the_deleted_version_alone_is_reported_once(town: Discovered) -> None:
    cloud = town.world.cloud
    await town.discover()
    assert await town.told("agent.stable_gone") == [], "one read may be mistaken"
    for _ in range(4):
        await town.discover()
        await town.tick()
    said = [
        f"stable version 1 of agent {town.agent} was deleted, and the endpoint sends 100% of new sessions to it: they"
        f" get no answer until a person routes to another version (`agent route {town.agent}`)"
    ]
    assert await town.told("agent.stable_gone") == said
    assert (cloud.sent, cloud.routing) == ([], Routing.of({"1": 100}))
    town.presence = Presence()
    for _ in range(3):
        await town.discover()
    assert await town.told("agent.stable_gone") == said, "another replica does not say it again"


async def test_a_stable_version_that_one_read_does_not_find_is_not_reported(town: Discovered) -> None:
    await town.discover()
    town.world.cloud.deleted = None
    await town.discover()
    town.world.cloud.deleted = "1"
    await town.discover()
    assert await town.told("agent.stable_gone") == []


async def test_a_few_stable_versions_are_asked_for_at_each_listing_and_all_in_the_end(world: SmallWorld) -> None:
    asked: list[str] = []

    class Counting:
        async def version(self, agent: str, version: str) -> VersionSeen:
            asked.append(agent)
            return VersionSeen(version, VersionStatus.ACTIVE)

    latest = VersionSeen("2", VersionStatus.ACTIVE)
    agents = [
        (AgentSeen(f"a-{number}", Routing.of({"1": 100}), latest), AgentKnown(f"a-{number}", stable="1"))
        for number in range(3 * AT_A_LISTING)
    ]
    agents.append((AgentSeen("on-latest", Routing.of({"2": 100}), latest), AgentKnown("on-latest", stable="2")))
    _, ticker = world.ticker()
    cloud: Any = Counting()
    presence, pool = Presence(), LeasePool(ticker.world.store, lambda: 0.0)
    for number in range(3):
        now = world.time + number * TICK
        await presence.check(replace(ticker.world, cloud=cloud), pool, agents, now)
        assert len(asked) == (number + 1) * AT_A_LISTING
    assert set(asked) == {seen.name for seen, _ in agents} - {"on-latest"}
