"""Agents in trouble: rules that are not known, reads that flicker, protocols that are missing, faults of one agent."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import select

from fakes import FakePolicies
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.governance import Survey
from foundry_rollouts.controller.health import JobHealth, Readiness
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.policy import OnDrift, Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError, Refusal, StoreError, UsageError
from foundry_rollouts.ports import AgentKnown, AgentSeen, RolloutFilter, VersionSeen, VersionStatus
from foundry_rollouts.store.tables import events
from foundry_rollouts.telemetry import Metrics
from small_world import SmallCloud, SmallWorld, a_quick_policy

FOREIGN = "rule 1 of 2 is of the type 'HeaderMatch', and FixedRatio is the only one known here"
NUMBERS = count()


class TwoAgents(SmallCloud):
    """Lists a sick agent before the one of the small world."""

    sick = "support-a"
    sick_trouble: CloudError | None = None
    sick_unreadable: str | None = None
    is_sick_nameless = False
    is_sick_gone = False

    async def agents(self) -> AsyncIterator[AgentSeen]:
        if self.is_sick_nameless or self.is_sick_gone:
            if self.is_sick_nameless:
                yield AgentSeen("", Routing(()), None, unreadable="item 1 of the list of agents has no name")
            yield await self.agent(self.name)
            return
        sick = AgentSeen(self.sick, Routing.of({LATEST: 100}), VersionSeen("1", VersionStatus.ACTIVE))
        yield replace(sick, routing=Routing(()), unreadable=self.sick_unreadable) if self.sick_unreadable else sick
        yield await self.agent(self.name)

    async def agent(self, name: str) -> AgentSeen:
        if name == self.sick and self.sick_trouble:
            raise self.sick_trouble
        return await super().agent(name)


@dataclass
class Town:
    """A small world with a sick agent in it."""

    world: SmallWorld
    policies: Any
    metrics: Metrics
    troubles: Troubles
    store: Any = None
    survey: Survey = field(default_factory=Survey)
    unreported: set[str] = field(default_factory=set)

    async def discover(self) -> None:
        _, ticker = self.world.ticker()
        store = self.store or self.world.open_as("here")
        world = replace(ticker.world, policies=self.policies, store=store)
        pool = LeasePool(world.store, lambda: 0.0)
        discovery = Discovery(
            world, self.metrics, pool, self.world.now, lambda _: f"new-{next(NUMBERS)}", troubles=self.troubles
        )
        discovery.unreported.update(self.unreported)
        self.unreported = discovery.unreported
        self.world.time += timedelta(seconds=1)
        self.survey = await discovery.discover()
        await pool.release_all(self.world.time)

    async def known(self, name: str) -> AgentKnown:
        known = await self.world.open_as("reader").agent(name)
        assert known is not None
        return known

    async def told(self, name: str) -> list[tuple[str, str]]:
        reader: Any = self.world.open_as("reader")
        async with reader._database.reading() as connection:
            rows = await connection.execute(select(events).where(events.c.agent == name).order_by(events.c.seq))
            return [(row.kind, row.because) for row in rows]

    @property
    def unreadable(self) -> float | None:
        return self.metrics.registry.get_sample_value("foundry_rollouts_agents_unreadable")


@pytest.fixture
def town(world: SmallWorld) -> Town:
    world.cloud = TwoAgents(name=world.cloud.name, latest="1", routing=Routing.of({LATEST: 100}))
    return Town(world, FakePolicies((a_quick_policy(),)), Metrics("test"), Troubles())


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

        async def open_intent(self, lease: Any, intent: Any) -> None:
            if lease.agent == "support-a":
                raise StoreError("this row cannot be written")
            await inner.open_intent(lease, intent)

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

        async def see_agents(self, seen: Any, now: Any, *, is_whole: bool = True) -> dict[str, str]:
            assert is_whole
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


# --- rollouts


async def ticked(world: SmallWorld, times: int = 1) -> Rollout:
    return await world.run(times)


@pytest.mark.parametrize("on_drift", list(OnDrift))
async def test_a_rollout_whose_routing_cannot_be_read_is_left_alone_whatever_is_proved_or_asked(
    world: SmallWorld, on_drift: OnDrift
) -> None:
    world.policy = a_quick_policy(on_drift=on_drift)
    await world.begin()
    assert (await ticked(world)).phase is Phase.PROGRESSING
    sent = list(world.cloud.sent)
    world.cloud.unreadable, world.source.bad_from = FOREIGN, 1
    store = world.open_as("api")
    asked = await store.rollout(world.id)
    await store.accept(Command("c-1", world.id, Verb.ABORT, asked.generation, world.time, "kim", "so"))
    rollout = await ticked(world, 3)
    assert (rollout.phase, world.cloud.sent) == (Phase.PROGRESSING, sent)
    assert FOREIGN in rollout.because
    assert "Nothing is changed by itself" in rollout.because
    assert [kind for kind, *_ in await world.history()].count("rollout.harmed") == 1
    world.cloud.unreadable = None
    rollout = await ticked(world)
    assert rollout.phase is Phase.ROLLED_BACK, "what was asked meanwhile is not lost"
    assert rollout.because.startswith("kim asked to abort")


async def test_a_rollout_does_not_begin_over_rules_that_are_not_known(world: SmallWorld) -> None:
    world.cloud.unreadable = FOREIGN
    await world.begin()
    rollout = await ticked(world, 3)
    assert (rollout.phase, world.cloud.sent) == (Phase.PENDING, [])
    assert FOREIGN in rollout.because
    world.cloud.unreadable = None
    assert (await ticked(world)).phase is Phase.PROGRESSING


async def test_an_intent_stays_open_while_the_routing_cannot_be_read(world: SmallWorld) -> None:
    await world.begin()
    await ticked(world)
    world.source.bad_from, world.cloud.trouble = 1, None
    real, world.cloud.route = world.cloud.route, refuse  # type: ignore[assignment, method-assign]
    await ticked(world)
    world.cloud.route = real  # type: ignore[method-assign]
    sent = list(world.cloud.sent)
    world.cloud.unreadable = FOREIGN
    rollout = await ticked(world, 2)
    assert (rollout.phase, world.cloud.sent) == (Phase.PROGRESSING, sent)
    assert FOREIGN in rollout.because
    world.cloud.unreadable = None
    assert (await ticked(world, 2)).phase is Phase.ROLLED_BACK


async def refuse(*_: Any) -> bool:
    raise CloudError("agents.route", Refusal(503, "unavailable", "not now"))


@pytest.mark.parametrize("status", [VersionStatus.FAILED, VersionStatus.DELETING, VersionStatus.DELETED])
async def test_a_status_that_flickers_ends_nothing_and_two_reads_outlive_a_restart(
    world: SmallWorld, status: VersionStatus
) -> None:
    await world.begin()
    world.cloud.status, world.cloud.active = status, {"1"}
    rollout = await ticked(world)
    assert rollout.phase is Phase.PENDING
    assert rollout.waiting_for == f"a second read: version 2 reads {status}, and one read ends nothing"
    world.cloud.status = VersionStatus.CREATING
    assert (await ticked(world)).endings == ()
    world.cloud.status = status
    assert (await ticked(world)).phase is Phase.PENDING
    assert (await ticked(world)).phase is Phase.FAILED


async def test_a_version_that_is_not_there_once_ends_nothing(world: SmallWorld) -> None:
    await world.begin()
    world.cloud.deleted = "2"
    assert (await ticked(world)).phase is Phase.PENDING
    world.cloud.deleted = None
    assert (await ticked(world)).phase is Phase.PROGRESSING


async def test_at_first_sight_a_latest_version_that_flickers_makes_no_older_one_stable(town: Town) -> None:
    cloud = town.world.cloud
    cloud.latest, cloud.status, cloud.active = "2", VersionStatus.FAILED, {"1"}
    await town.discover()
    assert cloud.routing == Routing.of({LATEST: 100})
    cloud.status = VersionStatus.ACTIVE
    await town.discover()
    assert cloud.routing == Routing.of({"2": 100})


async def test_a_canary_that_lacks_a_protocol_of_the_endpoint_is_refused_before_its_first_weight(
    world: SmallWorld,
) -> None:
    world.cloud.serves, world.cloud.declares = ("responses", "invocations"), ("responses",)
    await world.begin()
    rollout = await ticked(world)
    assert (rollout.phase, world.cloud.sent) == (Phase.FAILED, [])
    assert rollout.because.startswith("version 2 declares responses and not invocations, which the endpoint serves")


@pytest.mark.parametrize("declares", [None, ("invocations", "mcp", "responses")])
async def test_a_canary_that_declares_all_or_nothing_is_tried(
    world: SmallWorld, declares: tuple[str, ...] | None
) -> None:
    world.cloud.serves, world.cloud.declares = ("responses", "invocations"), declares
    await world.begin()
    assert (await ticked(world)).phase is Phase.PROGRESSING


async def test_what_a_change_of_the_weights_lost_is_put_back_and_told_once(world: SmallWorld) -> None:
    world.cloud.settings, world.cloud.after_route = '{"protocols":["responses","a2a"]}', '{"protocols":["responses"]}'
    await world.begin()
    assert (await ticked(world)).phase is Phase.PROGRESSING
    assert world.cloud.settings == '{"protocols":["responses","a2a"]}'
    reader: Any = world.open_as("reader")
    async with reader._database.reading() as connection:
        rows = (await connection.execute(select(events).where(events.c.kind == "agent.settings_restored"))).all()
    assert [row.because for row in rows] == [
        "a change of the weights lost protocols of the endpoint: put back as before"
    ]
