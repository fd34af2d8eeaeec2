"""What a person asks is done, or answered; nothing that was accepted is lost."""

import pytest

from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.event import HARMED
from foundry_rollouts.core.model.policy import OnFailure
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from small_world import SmallWorld, a_quick_policy


async def ask(world: SmallWorld, *verbs: Verb) -> None:
    store = world.open_as("api")
    for verb in verbs:
        rollout = await store.rollout(world.id)
        await store.accept(Command(f"c-{verb}", rollout.id, verb, rollout.generation, world.time, f"{verb}-er", "so"))


async def told(world: SmallWorld) -> list[tuple[str, str]]:
    return [(kind.removeprefix("rollout."), because) for kind, _, _, because in await world.history()]


async def harmed(world: SmallWorld, on_failure: OnFailure) -> Rollout:
    """Return a rollout whose canary is proved to do harm, and whose policy leaves the answer to a person."""
    world.policy = a_quick_policy(on_failure=on_failure)
    world.bad_from = world.source.bad_from = 1
    await world.begin()
    return await world.run(5)


@pytest.mark.parametrize("on_failure", [OnFailure.HOLD, OnFailure.PAUSE])
async def test_a_person_may_go_on_in_spite_of_proved_harm_where_the_policy_waits_for_one(
    world: SmallWorld, on_failure: OnFailure
) -> None:
    assert (await harmed(world, on_failure)).step == 1
    await ask(world, Verb.PROMOTE)
    rollout = await world.run(1)
    assert (rollout.step, world.cloud.routing) == (2, Routing.of({"1": 50, "2": 50}))
    events = await world.open_as("reader").history(world.id)
    assert [event.author for event in events if event.kind == "rollout.advanced"] == ["promote-er"]


async def test_a_pause_counts_where_harm_is_held(world: SmallWorld) -> None:
    await harmed(world, OnFailure.HOLD)
    await ask(world, Verb.PAUSE)
    assert (await world.run(1)).phase is Phase.PAUSED


async def test_harm_that_is_held_is_told_once(world: SmallWorld) -> None:
    await harmed(world, OnFailure.HOLD)
    await world.run(5)
    harm = [because for kind, because in await told(world) if f"rollout.{kind}" == HARMED]
    assert len(harm) == 1
    assert "failed" in harm[0]


async def test_harm_that_is_proved_during_a_pause_is_told_and_said(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_failure=OnFailure.PAUSE)
    await world.begin()
    await world.run(1)
    await ask(world, Verb.PAUSE)
    await world.run(1)
    world.source.bad_from = 1
    rollout = await world.run(6)
    assert rollout.phase is Phase.PAUSED
    assert "failed (HTTP 500)" in rollout.because
    assert [kind for kind, _ in await told(world)].count("harmed") == 1


async def test_a_request_that_harm_was_quicker_than_is_obeyed_at_the_next_look(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_failure=OnFailure.PAUSE)
    world.bad_from = world.source.bad_from = 1
    await world.begin()
    await world.run(1)
    store = world.open_as("reader")
    for _ in range(5):
        await ask(world, Verb.PROMOTE) if not await store.commands(world.id) else None
        rollout = await world.run(1)
        if rollout.phase is Phase.PAUSED:
            break
    if await store.commands(world.id):
        rollout = await world.run(1)
    assert await store.commands(world.id) == []
    assert rollout.step > 1


async def test_what_changes_nothing_is_answered_with_why(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await ask(world, Verb.RESUME)
    rollout = await world.run(1)
    assert rollout.phase is Phase.PROGRESSING
    assert (await told(world))[-1] == (
        "declined",
        "resume-er asked to resume: so. Nothing was done: it is not paused",
    )
    assert (await world.run(20)).phase is Phase.PROMOTED


async def test_two_requests_that_do_not_contradict_each_other_are_both_obeyed(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await ask(world, Verb.PAUSE, Verb.RESUME)
    rollout = await world.run(2)
    assert rollout.phase is Phase.PROGRESSING
    assert [kind for kind, _ in await told(world)][2:4] == ["paused", "resumed"]


async def test_a_pause_overrules_what_was_asked_before_it_and_says_so(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await ask(world, Verb.PROMOTE, Verb.PAUSE)
    rollout = await world.run(3)
    assert (rollout.phase, rollout.step) == (Phase.PAUSED, 1)
    assert (await told(world))[-1] == (
        "paused",
        "pause-er asked to pause: so. This answers, too: promote-er asked to promote: so",
    )
