"""Discovery: first sight, the pin guard, new versions, and what another hand does between rollouts."""

from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from builders import a_policy
from fakes import FakePolicies
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.core.model.effects import OnAdoption, OnDrift
from foundry_rollouts.core.model.policy import Policy, Trigger
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.ports import RolloutFilter, VersionStatus
from foundry_rollouts.telemetry import Metrics
from small_world import SmallWorld, a_quick_policy


@dataclass
class Town:
    """A small world that is discovered."""

    world: SmallWorld
    policy: Policy
    made: int = 0

    async def discover(self) -> None:
        _, ticker = self.world.ticker()
        policies = FakePolicies((self.policy,))
        world = replace(ticker.world, policies=policies)
        pool = LeasePool(world.store, lambda: 0.0)
        await Discovery(world, Metrics("test"), pool, self.world.now, self.new_id).discover()
        await pool.release_all(self.world.time)

    def new_id(self, _: datetime) -> str:
        self.made += 1
        return f"new-{self.made}"

    async def rollouts(self) -> list[Rollout]:
        return list(await self.world.open_as("reader").rollouts(RolloutFilter()))

    async def stable(self) -> str | None:
        known = await self.world.open_as("reader").agent(self.world.cloud.name)
        return known.stable if known else None

    async def version(self, latest: str) -> None:
        self.world.cloud.latest = latest
        await self.discover()


@pytest.fixture
def town(world: SmallWorld) -> Town:
    world.cloud.latest = "1"
    world.cloud.routing = Routing.of({LATEST: 100})
    return Town(world, a_quick_policy())


async def test_at_first_sight_the_version_that_serves_is_stable_and_pinned(town: Town) -> None:
    await town.discover()
    assert await town.stable() == "1"
    assert town.world.cloud.routing == Routing.of({"1": 100})
    assert await town.rollouts() == []


async def test_what_was_just_pinned_is_noted_as_pinned(town: Town) -> None:
    await town.discover()
    known = await town.world.open_as("reader").agent(town.world.cloud.name)
    assert known is not None
    assert known.routing == Routing.of({"1": 100})


async def test_at_first_sight_the_newest_active_version_serves_while_a_newer_one_is_created(town: Town) -> None:
    town.world.cloud.latest, town.world.cloud.status = "3", VersionStatus.CREATING
    town.world.cloud.active = {"1", "2"}
    await town.discover()
    assert await town.stable() == "2"
    assert [rollout.canary for rollout in await town.rollouts()] == ["3"]


async def test_at_first_sight_a_pinned_endpoint_stays_as_it_is_and_old_versions_are_left_alone(
    town: Town,
) -> None:
    town.world.cloud.latest, town.world.cloud.routing = "5", Routing.of({"4": 100})
    await town.discover()
    assert await town.stable() == "4"
    assert town.world.cloud.sent == []
    assert await town.rollouts() == []


async def test_a_new_version_gets_a_rollout_once(town: Town) -> None:
    await town.discover()
    await town.version("2")
    await town.discover()
    (rollout,) = await town.rollouts()
    assert (rollout.canary, rollout.stable, rollout.phase) == ("2", "1", Phase.PENDING)
    assert rollout.because == "version 2 is new; policy support rolls it out"


async def test_a_manual_policy_starts_nothing_by_itself(town: Town) -> None:
    town.policy = replace(town.policy, trigger=Trigger.MANUAL)
    await town.discover()
    await town.version("2")
    assert await town.rollouts() == []


async def test_an_agent_without_a_policy_is_left_alone(town: Town) -> None:
    town.policy = a_policy(agents=("other-*",))
    await town.discover()
    assert town.world.cloud.routing == Routing.of({LATEST: 100})


async def test_an_endpoint_that_follows_the_latest_again_goes_back_to_stable_and_the_new_version_is_rolled_out(
    town: Town,
) -> None:
    await town.discover()
    town.world.cloud.routing = Routing.of({LATEST: 100})
    await town.version("2")
    assert town.world.cloud.routing == Routing.of({"1": 100})
    assert [rollout.canary for rollout in await town.rollouts()] == ["2"]


@pytest.mark.parametrize(
    ("on_drift", "routing", "stable"),
    [
        (OnDrift.PAUSE, Routing.of({"1": 30, "2": 70}), "1"),
        (OnDrift.RESTORE, Routing.of({"1": 100}), "1"),
        (OnDrift.ADOPT, Routing.of({"2": 100}), "2"),
    ],
)
async def test_another_hand_between_rollouts_is_answered_as_the_policy_says(
    town: Town, on_drift: OnDrift, routing: Routing, stable: str
) -> None:
    town.policy = replace(town.policy, on_drift=on_drift)
    await town.discover()
    town.world.cloud.routing = Routing.of({"1": 30, "2": 70})
    await town.discover()
    assert town.world.cloud.routing == routing
    assert await town.stable() == stable


async def test_a_change_of_ours_that_arrives_after_the_rollback_is_taken_back(town: Town) -> None:
    await town.discover()
    await town.version("2")
    town.world.id, town.world.source.bad_from = "new-1", 50
    rollout = await town.world.run()
    assert rollout.phase is Phase.ROLLED_BACK
    town.world.cloud.routing = Routing.of({"1": 50, "2": 50})
    await town.discover()
    assert town.world.cloud.routing == Routing.of({"1": 100})


async def test_quiet_agents_cost_no_lease(town: Town) -> None:
    await town.discover()
    replica = town.world.open_as("witness")
    before = await replica.claim(town.world.cloud.name, town.world.time)
    assert before is not None
    await town.discover()
    kept = await replica.renew([before], town.world.time)
    assert [lease.fence for lease in kept] == [before.fence]


async def test_after_an_adoption_the_next_version_is_tried_against_the_adopted_one(town: Town) -> None:
    town.policy = replace(town.policy, on_drift=OnDrift.ADOPT)
    await town.discover()
    await town.version("2")
    town.world.id = "new-1"
    assert (await town.world.run()).phase is Phase.PROMOTED
    town.world.cloud.routing = Routing.of({"1": 60, "2": 40})
    await town.discover()
    assert await town.stable() == "1"
    await town.version("3")
    town.world.id = "new-2"
    assert (await town.world.run()).phase is Phase.PROMOTED
    assert town.world.cloud.routing == Routing.of({"3": 100})


@pytest.mark.parametrize("on_adoption", list(OnAdoption))
async def test_at_first_sight_of_mixed_routing_nothing_untested_gets_more_and_the_next_version_is_tried(
    town: Town, on_adoption: OnAdoption
) -> None:
    town.policy = replace(town.policy, on_adoption=on_adoption, on_drift=OnDrift.RESTORE)
    town.world.cloud.latest, town.world.cloud.routing = "2", Routing.of({LATEST: 20, "1": 80})
    await town.discover()
    kept = Routing.of({"1": 80, "2": 20} if on_adoption is OnAdoption.KEEP else {"1": 100})
    assert (await town.stable(), town.world.cloud.routing) == ("1", kept)
    await town.discover()
    assert town.world.cloud.routing == kept
    await town.version("3")
    assert [rollout.canary for rollout in await town.rollouts()] == ["3"]
    town.world.id = "new-1"
    assert (await town.world.run()).phase is Phase.PROMOTED
    assert town.world.cloud.sent[-3:] == [Routing.of(w) for w in ({"1": 90, "3": 10}, {"1": 50, "3": 50}, {"3": 100})]


async def test_weights_that_are_kept_hold_until_a_rollout_begins_and_then_they_are_drift(town: Town) -> None:
    town.world.cloud.latest, town.world.cloud.routing = "2", Routing.of({"1": 60, "2": 40})
    await town.discover()
    assert town.world.cloud.sent == []
    await town.version("3")
    town.world.id, town.world.source.bad_from = "new-1", 1
    assert (await town.world.run()).phase is Phase.ROLLED_BACK
    known = await town.world.open_as("reader").agent(town.world.cloud.name)
    assert known is not None
    assert (known.stable, known.kept, town.world.cloud.routing) == ("1", None, Routing.of({"1": 100}))
