"""Agents in trouble: rules that are not known, reads that flicker, protocols that are missing, faults of one agent."""

from datetime import timedelta
from typing import Any

from fakes import FakePolicies
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError, Refusal, StoreError, UsageError
from foundry_rollouts.ports import RolloutFilter, VersionStatus
from small_world import a_quick_policy
from unit.controller.towns import FOREIGN, Town


async def test_rules_that_are_not_known_are_reported_once_and_left_as_they_are(town: Town) -> None:
    cloud: Any = town.world.cloud
    cloud.sick_unreadable = FOREIGN
    for _ in range(3):
        await town.discover()
    said = f"the routing of agent support-a cannot be read: {FOREIGN}"
    assert await town.told("support-a") == [("agent.unreadable", said)]
    assert ((await town.known("support-a")).unreadable, town.unreadable) == (said, 1)
    assert not (await town.known("support-a")).is_gone
    assert cloud.sent == [Routing.of({"1": 100})], "the other agent was pinned, and this one left alone"
    cloud.sick_unreadable = None
    for _ in range(2):
        await town.discover()
    kinds = [kind for kind, _ in await town.told("support-a")]
    assert kinds[:2] == ["agent.unreadable", "agent.adopted"]
    assert kinds.count("agent.readable") == 1
    assert ((await town.known("support-a")).unreadable, town.unreadable) == (None, 0)


class Crashing(FakePolicies):
    def policy_for(self, agent: str) -> Policy | None:
        if agent == "support-a":
            raise ValueError("a policy that crashes")
        return super().policy_for(agent)


async def test_a_policy_that_crashes_for_one_agent_is_reported_and_the_others_go_on(town: Town) -> None:
    town.policies = Crashing((a_quick_policy(),))
    for _ in range(2):
        await town.discover()
    said = "it cannot be processed: ValueError: a policy that crashes"
    assert await town.told("support-a") == [("agent.unreadable", said)]
    assert town.world.cloud.routing == Routing.of({"1": 100})


async def test_an_agent_that_the_cloud_answers_with_garbage_is_reported_at_the_second_look(town: Town) -> None:
    cloud: Any = town.world.cloud
    cloud.sick_trouble = CloudError("agents.get", Refusal(500, "server_error", "garbage"))
    await town.discover()
    assert (await town.told("support-a"), town.unreadable) == ([], 0)
    await town.discover()
    assert await town.told("support-a") == [
        ("agent.unreadable", "it cannot be processed: agents.get: HTTP 500 server_error: garbage")
    ]
    assert town.world.cloud.routing == Routing.of({"1": 100})


async def test_an_agent_that_cannot_be_recorded_does_not_keep_the_others(town: Town) -> None:
    inner = town.world.open_as("here")

    class Refusing:
        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        async def open_intent(self, lease: Any, *what: Any) -> None:
            if lease.agent == "support-a":
                raise StoreError("this row cannot be written")
            await inner.open_intent(lease, *what)

        async def record(self, lease: Any, record: Any, closes: Any = None) -> None:
            if lease.agent == "support-a":
                raise StoreError("this row cannot be written")
            await inner.record(lease, record, closes)

    town.store = Refusing()
    await town.discover()
    assert town.unreadable == 1
    assert (await town.known(town.world.cloud.name)).stable == "1"
    assert not (await town.known("support-a")).is_gone


async def test_an_agent_whose_row_cannot_be_written_is_reported_once_and_the_others_go_on(town: Town) -> None:
    inner = town.world.open_as("here")

    class Refusing:
        is_sick = True

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        async def see_agents(
            self, seen: Any, now: Any, *, is_whole: bool = True, project: str = "", as_known: Any = ()
        ) -> Any:
            assert (is_whole, project) == (True, "")
            left = [agent for agent in seen if not (self.is_sick and agent.name == "support-a")]
            assert not await inner.see_agents(left, now, is_whole=False)
            return {"support-a": "violates sick"} if self.is_sick else {}

    town.store = Refusing()
    for _ in range(3):
        await town.discover()
    told = await town.told("support-a")
    assert [event for event in told if event[0].startswith("agent.un")] == [
        ("agent.unreadable", "it cannot be recorded: violates sick")
    ]
    assert town.unreadable == 1
    assert (await town.known(town.world.cloud.name)).stable == "1"
    town.store.is_sick = False
    for _ in range(2):
        await town.discover()
    assert [kind for kind, _ in await town.told("support-a")].count("agent.readable") == 1
    assert town.unreadable == 0


async def test_an_item_without_a_name_is_reported_and_nobody_counts_as_deleted(town: Town) -> None:
    await town.discover()
    cloud: Any = town.world.cloud
    cloud.is_sick_nameless = True
    await town.discover()
    assert town.unreadable == 1
    assert not (await town.known("support-a")).is_gone
    health = Readiness(town.world.open_as("here"), town.policies, JobHealth(survey=town.survey), timedelta(minutes=1))
    said = {each.name: each for each in await health.conditions(town.world.time)}["agents"]
    assert not said.is_well
    assert "item 1 of the list of agents has no name" in said.because
    cloud.latest = "2"
    await town.discover()
    started = await town.world.open_as("reader").rollouts(RolloutFilter(agent=cloud.name))
    assert [rollout.canary for rollout in started] == ["2"], "the other agent goes on"
    cloud.is_sick_nameless, cloud.is_sick_gone = False, True
    await town.discover()
    assert (town.unreadable, (await town.known("support-a")).is_gone) == (0, True)


async def test_an_agent_whose_ticks_crash_is_reported_until_one_goes_well(town: Town) -> None:
    await town.troubles.failed(town.world.open_as("here"), "support-a", ValueError("a fault of ours"))
    await town.discover()
    said = "its rollout cannot be processed: ValueError: a fault of ours"
    assert ("agent.unreadable", said) in await town.told("support-a")
    town.troubles.well("support-a")
    await town.discover()
    assert "agent.readable" in {kind for kind, _ in await town.told("support-a")}


class Tied(FakePolicies):
    def policy_for(self, agent: str) -> Policy | None:
        raise UsageError(f"policies a and b name the agent {agent} equally")


async def test_where_policies_tie_the_endpoint_is_pinned_and_no_rollout_begins_until_one_governs(town: Town) -> None:
    town.policies = Tied((a_quick_policy(),))
    await town.discover()
    assert town.world.cloud.routing == Routing.of({"1": 100})
    events = [kind for kind, because in await town.told(town.world.cloud.name) if "name the agent" in because]
    assert events == ["agent.ungoverned"]
    town.world.cloud.latest, town.world.cloud.routing = "2", Routing.of({LATEST: 100})
    await town.discover()
    assert town.world.cloud.routing == Routing.of({"1": 100})
    assert await town.world.open_as("reader").rollouts(RolloutFilter()) == []
    town.policies = FakePolicies((a_quick_policy(),))
    await town.discover()
    started = await town.world.open_as("reader").rollouts(RolloutFilter(agent=town.world.cloud.name))
    assert [rollout.canary for rollout in started] == ["2"]


async def test_a_tie_that_comes_later_is_reported_once_and_so_is_one_that_another_replica_was_in_the_way_of(
    town: Town,
) -> None:
    async def ties() -> list[str]:
        return [because for kind, because in await town.told(town.world.cloud.name) if kind == "agent.ungoverned"]

    store = town.world.open_as("another")
    lease = await store.claim(town.world.cloud.name, town.world.time)
    assert lease is not None
    town.policies = Tied((a_quick_policy(),))
    await town.discover()
    assert await ties() == [], "another replica has the agent in hand"
    await store.release(lease)
    for _ in range(3):
        await town.discover()
    assert len(await ties()) == 1


async def test_an_agent_that_never_had_a_policy_and_then_ties_is_reported_once(town: Town) -> None:
    town.policies = FakePolicies(())
    await town.discover()
    town.policies = Tied((a_quick_policy(),))
    for _ in range(3):
        await town.discover()
    kinds = [kind for kind, _ in await town.told(town.world.cloud.name)]
    assert kinds.count("agent.ungoverned") == 1
    assert town.world.cloud.routing == Routing.of({"1": 100})


async def test_at_first_sight_a_latest_version_that_flickers_makes_no_older_one_stable(town: Town) -> None:
    cloud = town.world.cloud
    cloud.latest, cloud.status, cloud.active = "2", VersionStatus.FAILED, {"1"}
    await town.discover()
    assert cloud.routing == Routing.of({LATEST: 100})
    cloud.status = VersionStatus.ACTIVE
    await town.discover()
    assert cloud.routing == Routing.of({"2": 100})
