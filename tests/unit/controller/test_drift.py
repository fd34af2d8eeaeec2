"""Weights that another hand set during a trial: a pause, the plan again, or the end, as the policy says."""

from dataclasses import replace

import pytest

from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import LATEST, Routing
from small_world import SmallWorld, a_quick_policy
from unit.controller.asking import ask


async def test_drift_pauses_and_what_another_hand_set_stays(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    world.cloud.routing = Routing.of({"1": 40, "2": 60})
    rollout = await world.run(1)
    assert rollout.phase is Phase.PAUSED
    assert world.cloud.routing == Routing.of({"1": 40, "2": 60})
    await ask(world, Verb.RESUME)
    await world.run(1)
    assert world.cloud.routing == Routing.of({"1": 90, "2": 10})


@pytest.mark.parametrize("found", [Routing.of({"1": 40, "2": 60}), Routing.of({LATEST: 100}), Routing.of({"9": 100})])
async def test_drift_is_restored_to_the_plan_where_the_policy_says_so(world: SmallWorld, found: Routing) -> None:
    world.policy = a_quick_policy(on_drift=OnDrift.RESTORE)
    await world.begin()
    await world.run(1)
    world.cloud.routing = found
    rollout = await world.run(1)
    assert rollout.phase is Phase.PROGRESSING
    assert world.cloud.routing == Routing.of({"1": 90, "2": 10})


async def test_an_adopted_drift_ends_the_rollout_and_what_serves_most_is_stable(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_drift=OnDrift.ADOPT)
    await world.begin()
    await world.run(1)
    world.cloud.routing = Routing.of({"1": 20, "2": 80})
    rollout = await world.run(1)
    assert rollout.phase is Phase.SUPERSEDED
    assert world.cloud.routing == Routing.of({"1": 20, "2": 80})
    known = await world.open_as("reader").agent(world.cloud.name)
    assert known is not None
    assert known.stable == "2"


async def test_an_endpoint_that_a_person_disabled_is_never_enabled(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_drift=OnDrift.RESTORE)
    await world.begin()
    await world.run(1)
    world.cloud.routing = replace(world.cloud.routing, is_open=False)
    assert (await world.run(1)).phase is Phase.PAUSED
    await ask(world, Verb.ABORT)
    assert (await world.run(1)).phase is Phase.ROLLED_BACK
    assert world.cloud.routing == replace(Routing.of({"1": 100}), is_open=False)
