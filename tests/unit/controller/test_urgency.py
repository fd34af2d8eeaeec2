"""Which calls go first: those that take a canary back, and the look that confirms it."""

from dataclasses import dataclass, field

import pytest

from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import AgentSeen
from foundry_rollouts.ports.priority import Priority, present_priority
from small_world import LEASE, TICK, SmallCloud, SmallWorld

THROTTLED = CloudError("agents.get", Refusal(429, "rate_limit_exceeded", "slow down"))


@dataclass
class AttentiveCloud(SmallCloud):
    """Remembers how urgent each call was; may throttle every look, and lose the answer of a change."""

    calls: list[tuple[str, Priority]] = field(default_factory=list)
    throttles_looks: bool = False
    loses: Routing | None = None

    async def agent(self, name: str) -> AgentSeen:
        self.calls.append(("look", present_priority()))
        if self.throttles_looks:
            raise THROTTLED
        return await super().agent(name)

    async def route(self, agent: str, routing: Routing) -> bool:
        self.calls.append(("route", present_priority()))
        await super().route(agent, routing)
        if self.loses == routing:
            self.loses = None
            raise CloudError("agents.route", Refusal(None, "timeout", "no answer"))
        return True


@pytest.fixture
def attentive(world: SmallWorld) -> SmallWorld:
    return SmallWorld(world.open_as, cloud=AttentiveCloud())


def cloud_of(world: SmallWorld) -> AttentiveCloud:
    assert isinstance(world.cloud, AttentiveCloud)
    return world.cloud


async def test_a_step_forward_is_usual_and_a_rollback_and_its_read_back_go_first(attentive: SmallWorld) -> None:
    await attentive.begin()
    await attentive.run(1)
    usual, brief, first = Priority.USUAL, Priority.INTERACTIVE, Priority.ROLLBACK
    assert cloud_of(attentive).calls == [("look", brief), ("route", usual), ("look", usual)]
    cloud_of(attentive).calls.clear()
    attentive.source.bad_from = 1
    assert (await attentive.run(1)).phase is Phase.ROLLED_BACK
    assert cloud_of(attentive).calls == [("look", brief), ("route", first), ("look", first)]


async def test_a_rollback_that_is_settled_later_goes_first_too(attentive: SmallWorld) -> None:
    await attentive.begin()
    await attentive.run(1)
    attentive.source.bad_from = 1
    cloud_of(attentive).loses = Routing.of({"1": 100})
    await attentive.run(1)
    cloud_of(attentive).calls.clear()
    assert (await attentive.run(1)).phase is Phase.ROLLED_BACK
    assert cloud_of(attentive).calls == [("look", Priority.ROLLBACK)]


async def test_a_rollback_without_a_database_goes_first_too(attentive: SmallWorld) -> None:
    await attentive.begin()
    store, ticker = attentive.ticker()
    attentive.time += TICK
    (lease,) = await store.claim_due(attentive.time, 10)
    await ticker.tick(lease)
    cloud_of(attentive).calls.clear()
    attentive.source.bad_from = 1
    await ticker.offline.check_offline(lease)
    assert {urgency for _, urgency in cloud_of(attentive).calls} == {Priority.ROLLBACK}


@pytest.mark.parametrize("cause", ["harm", "abort"])
async def test_a_cloud_that_throttles_every_look_still_gets_the_rollback(attentive: SmallWorld, cause: str) -> None:
    await attentive.begin()
    await attentive.run(1)
    cloud_of(attentive).throttles_looks = True
    if cause == "harm":
        attentive.source.bad_from = 1
    else:
        rollout = await attentive.open_as("reader").rollout(attentive.id)
        abort = Command("c-1", rollout.id, Verb.ABORT, rollout.generation, attentive.time, "kim", "so")
        await attentive.open_as("api").accept(abort)
    await attentive.run(1)
    assert attentive.cloud.sent[-1] == Routing.of({"1": 100})
    cloud_of(attentive).throttles_looks = False
    attentive.time += LEASE
    assert (await attentive.run(1)).phase is Phase.ROLLED_BACK
