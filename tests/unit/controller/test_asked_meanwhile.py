"""What a person asks while a step forward is open is not overtaken by that step."""

import pytest

from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from small_world import LEASE, KilledError, SmallWorld

AT_10 = Routing.of({"1": 90, "2": 10})


async def killed_while_stepping(world: SmallWorld) -> None:
    """Leave a rollout at 10% whose step to 50% is written down and was never sent."""
    await world.begin()
    real = world.cloud.route

    async def die(agent: str, routing: Routing) -> bool:
        if routing.weight("2") > 10:
            raise KilledError
        return await real(agent, routing)

    world.cloud.route = die  # type: ignore[method-assign]
    reader, (store, ticker) = world.open_as("reader"), world.ticker()
    while (await reader.intent(world.cloud.name)) is None:
        world.time += world.policy.steps[0].min  # type: ignore[union-attr]
        try:
            for lease in await store.claim_due(world.time, 10):
                await ticker.tick(lease)
                await store.release(lease)
        except KilledError:
            break
    world.cloud.route = real  # type: ignore[method-assign]
    world.time += LEASE
    assert world.cloud.routing == AT_10


async def ask(world: SmallWorld, verb: Verb) -> None:
    store = world.open_as("api")
    rollout = await store.rollout(world.id)
    await store.accept(Command(f"c-{verb}", rollout.id, verb, rollout.generation, world.time, "kim", "wait"))


@pytest.mark.parametrize(
    ("verb", "phase", "left"),
    [(Verb.PAUSE, Phase.PAUSED, AT_10), (Verb.ABORT, Phase.ROLLED_BACK, Routing.of({"1": 100}))],
)
async def test_a_step_that_was_never_sent_is_not_sent_after_a_person_stopped_the_rollout(
    world: SmallWorld, verb: Verb, phase: Phase, left: Routing
) -> None:
    await killed_while_stepping(world)
    await ask(world, verb)
    sent = len(world.cloud.sent)
    rollout = await world.run(2)
    assert (rollout.phase, world.cloud.routing) == (phase, left)
    assert all(routing.weight("2") <= 10 for routing in world.cloud.sent[sent:])


async def test_a_step_that_was_never_sent_is_sent_where_nobody_stopped_the_rollout(world: SmallWorld) -> None:
    await killed_while_stepping(world)
    sent = len(world.cloud.sent)
    await world.run(1)
    assert world.cloud.sent[sent] == Routing.of({"1": 50, "2": 50})
