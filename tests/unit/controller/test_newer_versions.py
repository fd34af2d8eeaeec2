"""Rollouts behind one that is under way: they wait, take its place, or go by what it proved."""

from dataclasses import replace
from typing import Any

import pytest

from builders import a_rollout, an_event
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.new_versions import OnNewVersion
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import VersionStatus
from small_world import LEASE, TICK, SmallWorld, a_quick_policy


async def a_newer_version(world: SmallWorld) -> None:
    """Put a rollout of version 3 behind the one of version 2."""
    world.cloud.latest = "3"
    created_at = world.time + TICK
    newer = a_rollout(
        id="newer", agent=world.cloud.name, canary="3", policy=world.policy, created_at=created_at, event_count=1
    )
    await world.open_as("api").create(newer, an_event(id="newer:1", agent=newer.agent, rollout="newer"), None)


async def test_a_second_rollout_waits_and_goes_by_the_version_that_was_promoted(
    world: SmallWorld,
) -> None:
    await world.begin()
    world.cloud.latest = "3"
    second = a_rollout(
        id="second", agent=world.cloud.name, canary="3", policy=world.policy, created_at=world.time + TICK
    )
    event = an_event(id="second:1", agent=world.cloud.name, rollout="second")
    await world.open_as("api").create(second, event, None)
    await world.run(1)
    waiting = await world.open_as("reader").rollout("second")
    assert waiting.waiting_for == "the queue: an earlier rollout of this agent has not ended"
    await world.run(20)
    await world.run(3)
    reader = world.open_as("reader")
    for _ in range(3):
        store, ticker = world.ticker()
        world.time += LEASE
        for lease in await store.claim_due(world.time, 10):
            await ticker.tick(lease)
    started = await reader.rollout("second")
    assert (started.stable, started.phase) == ("2", Phase.PROGRESSING)
    assert world.cloud.routing.weight("1") == 0
    # What the trial of version 2 told of it is known in the next one.
    (known,) = started.prior_counts
    assert (known.gate, known.source, known.failures) == ("error-rate", "probe", 0)
    assert known.calls == (await reader.evidence(world.id)).tracks[0].total.canary_calls
    guess = (await reader.evidence("second")).tracks[0].processes[0].guess
    assert (guess.old_calls, guess.old_failures) == (known.calls, 0)


@pytest.mark.parametrize(("is_promoted", "first"), [(True, 10), (False, 100)])
async def test_the_version_before_takes_all_in_one_step_only_while_it_is_the_one_before(
    world: SmallWorld, is_promoted: bool, first: int
) -> None:
    await world.begin()
    assert (await world.run(20)).phase is Phase.PROMOTED
    world.cloud.latest = "3"
    store = world.open_as("api")
    for canary, is_revert in (("3", False), ("1", True)):
        world.id = canary
        world.time += TICK
        names: Any = {"id": canary, "canary": canary, "agent": world.cloud.name}
        rollout = a_rollout(**names, stable="2", policy=world.policy, created_at=world.time, event_count=1)
        event = an_event(id=f"{canary}:1", agent=world.cloud.name, rollout=canary)
        await store.create(replace(rollout, is_revert=is_revert), event, None)
        await world.run(1)
    world.id, world.source.bad_from = "3", 101 if is_promoted else 50
    assert (await world.run(20)).phase is (Phase.PROMOTED if is_promoted else Phase.ROLLED_BACK)
    world.id, world.source.bad_from = "1", 101
    rollout = await world.run(3)
    stable = "3" if is_promoted else "2"
    assert (rollout.stable, rollout.is_revert) == (stable, not is_promoted)
    begun = next(event for event in await store.history("1") if event.kind == "rollout.started")
    assert begun.weights == dict(Routing.of({"1": first, stable: 100 - first}).weights)
    assert ("was stable before" in begun.because) is not is_promoted


async def test_a_newer_version_takes_the_place_of_a_trial_and_begins_from_stable(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await world.run(1)
    assert world.cloud.routing.weight("2") == 10
    await a_newer_version(world)
    store, ticker = world.ticker()
    world.time += LEASE
    for lease in await store.claim_due(world.time, 10):
        await ticker.tick(lease)
    superseded = await store.rollout(world.id)
    assert (superseded.phase, superseded.because) == (Phase.SUPERSEDED, "version 3 is newer and takes its place")
    assert world.cloud.routing == Routing.of({"1": 100})
    world.time += TICK
    for lease in await store.claim_due(world.time, 10):
        await ticker.tick(lease)
    assert world.cloud.routing == Routing.of({"1": 90, "3": 10})


@pytest.mark.parametrize("verb", [Verb.ABORT, Verb.PAUSE, Verb.RESUME])
async def test_what_is_asked_of_a_queued_rollout_moves_nothing(world: SmallWorld, verb: Verb) -> None:
    await world.begin()
    await world.run(1)
    await a_newer_version(world)
    store, sent = world.open_as("api"), list(world.cloud.sent)
    if verb is Verb.RESUME:
        await store.accept(Command("pause", "newer", Verb.PAUSE, 1, world.time, "kim"))
        await world.run(1)
    queued = await store.rollout("newer")
    await store.accept(Command("verb", "newer", verb, queued.generation, world.time, "kim"))
    running = await world.run(1)
    assert sent == world.cloud.sent[: len(sent)]
    assert {"2"} <= {version for routing in world.cloud.sent for version, _ in routing.weights}
    assert running.phase is Phase.PROGRESSING
    assert world.cloud.routing.weight("2") == running.weight
    if verb is Verb.ABORT:
        ended = await store.rollout("newer")
        assert (ended.phase, ended.ended_by) == (Phase.ABORTED, "kim")
        assert ended.because == "kim asked to abort; aborted before it began, nothing was moved"
        assert [event.kind for event in await store.history("newer")][-1] == "rollout.aborted"


async def test_a_queued_rollout_that_gives_way_to_a_newer_one_moves_nothing(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await a_newer_version(world)
    world.cloud.active, world.cloud.status = {"3"}, VersionStatus.CREATING
    world.cloud.routing = Routing.of({"1": 70, "9": 30})
    superseded = await world.run(1)
    assert superseded.phase is Phase.SUPERSEDED
    assert world.cloud.sent == []


async def test_a_newer_version_that_is_not_active_displaces_nobody(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await world.run(1)
    await a_newer_version(world)
    world.cloud.status, world.cloud.active = VersionStatus.CREATING, {"1", "2"}
    assert (await world.run(1)).phase is Phase.PROGRESSING


async def test_harm_is_told_as_harm_even_when_a_newer_version_waits(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await world.run(1)
    await a_newer_version(world)
    world.source.bad_from = 1
    assert (await world.run(1)).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("is_made_again", [True, False])
async def test_a_version_that_was_made_again_since_it_was_stable_is_no_way_back_in_one_step(
    world: SmallWorld, is_made_again: bool
) -> None:
    world.cloud.created = {"1": world.time, "2": world.time}
    await world.begin()
    assert (await world.run(20)).phase is Phase.PROMOTED
    if is_made_again:
        world.cloud.created["1"] = world.time
    store, world.id = world.open_as("api"), "back"
    rollout = a_rollout(
        id="back", canary="1", stable="2", agent=world.cloud.name, policy=world.policy, author="kim",
        created_at=world.time, event_count=1, is_revert=True,
    )  # fmt: skip
    await store.create(rollout, an_event(id="back:1", agent=world.cloud.name, rollout="back"), None)
    await world.run(1)
    begun = next(event for event in await store.history("back") if event.kind == "rollout.started")
    assert begun.weights == ({"1": 10, "2": 90} if is_made_again else {"1": 100})
    said = "version 1 was deleted and made again since it was stable: it is tried like any other"
    assert (said in begun.because) is is_made_again


async def test_an_older_version_that_is_asked_for_later_takes_no_place_and_waits(world: SmallWorld) -> None:
    world.policy, world.cloud.latest = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE), "3"
    store = world.open_as("api")
    for canary in ("3", "2"):
        world.id = canary
        world.time += TICK
        names: Any = {"id": canary, "canary": canary, "agent": world.cloud.name}
        rollout = a_rollout(**names, policy=world.policy, created_at=world.time, author="ci", event_count=1)
        await store.create(rollout, an_event(id=f"{canary}:1", agent=world.cloud.name, rollout=canary), None)
        world.id = "3"
        await world.run(1)
    trial, waiting = await store.rollout("3"), await store.rollout("2")
    assert (trial.phase, waiting.phase) == (Phase.PROGRESSING, Phase.PENDING)
    assert "newer" not in trial.because
