"""One rollout in hand for each agent: what becomes of those behind it, with the real store and a small cloud."""

from dataclasses import replace
from typing import Any

import pytest

from builders import a_rollout, an_event
from foundry_rollouts.core.deciding.queue import QUEUED
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.new_versions import OnNewVersion
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from small_world import TICK, SmallWorld, a_quick_policy

AWAY = CloudError("agents.get", Refusal(None, "connection", "no answer"))


async def put(world: SmallWorld, version: str, **but: Any) -> Rollout:
    """Put a rollout of ``version`` behind all others, with its version's number as its id."""
    if version.isdigit():
        world.cloud.latest = max(world.cloud.latest, version, key=int)
    world.time += TICK / 10
    names: dict[str, Any] = {"id": version, "canary": version, "agent": world.cloud.name, "created_at": world.time}
    rollout = a_rollout(**names, policy=world.policy, event_count=1, **but)
    event = an_event(id=f"{version}:1", agent=world.cloud.name, rollout=version)
    return await world.open_as("api").create(rollout, event, None)


async def ask(world: SmallWorld, rollout: str, verb: Verb) -> None:
    store = world.open_as("api")
    seen = await store.rollout(rollout)
    await store.accept(Command(f"{rollout}-{verb}", rollout, verb, seen.generation, world.time, "kim", "so"))


async def tick_with(world: SmallWorld, ticker: Any, store: Any) -> None:
    world.time += TICK
    for lease in await store.claim_due(world.time, 10):
        await ticker.tick(lease)


def phases_shown(ticker: Any, agent: str) -> list[str]:
    """Return the phases that the metrics show as that of ``agent``."""
    names = [phase.value for phase in Phase]
    get = ticker.metrics.registry.get_sample_value
    return [name for name in names if get("foundry_rollouts_rollout_phase", {"agent": agent, "phase": name})]


async def test_a_queued_rollout_never_shows_in_place_of_the_one_in_hand(world: SmallWorld) -> None:
    await world.begin()
    store, ticker = world.ticker()
    await tick_with(world, ticker, store)
    await put(world, "3")
    await ask(world, world.id, Verb.PAUSE)
    await tick_with(world, ticker, store)
    agent = world.cloud.name
    get = ticker.metrics.registry.get_sample_value
    assert phases_shown(ticker, agent) == ["paused"]
    assert get("foundry_rollouts_weight", {"agent": agent, "version": "2", "role": "canary"}) == 10
    assert get("foundry_rollouts_queued_rollouts", {"agent": agent}) == 1
    assert (await store.rollout("3")).waiting_for == QUEUED


async def test_many_that_wait_cost_no_more_reads_of_the_cloud_than_one(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    reads: list[str] = []
    real = world.cloud.version

    async def counted(agent: str, version: str) -> Any:
        reads.append(version)
        return await real(agent, version)

    world.cloud.version = counted  # type: ignore[method-assign]
    for number in range(3, 103):
        await put(world, str(number))
    await ask(world, world.id, Verb.PAUSE)
    await world.run(5)
    assert set(reads) == {"1", "2"}, "only what is compared is looked at"
    queue = await world.open_as("reader").queue(world.cloud.name)
    assert (queue.waiting, queue.to_tend) == (100, ())
    _, *behind = await world.open_as("reader").unfinished(world.cloud.name)
    assert {each.waiting_for for each in behind} == {QUEUED}


async def test_the_next_in_the_queue_begins_as_soon_as_the_one_before_it_has_ended(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    world.source.bad_from = 1
    assert (await world.run(3)).phase is Phase.ROLLED_BACK
    world.source.bad_from, world.id = 101, "3"
    assert (await world.run(1)).phase is Phase.PROGRESSING


async def test_after_an_abort_by_a_person_what_is_queued_waits_for_a_person(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    await put(world, "4")
    await ask(world, world.id, Verb.ABORT)
    assert (await world.run(1)).phase is Phase.ROLLED_BACK
    await world.run(1)
    reader = world.open_as("reader")
    world.id = "3"
    for _ in range(3):  # each run is a replica that was started anew
        held = await world.run(2)
        assert (held.phase, held.is_held, held.step) == (Phase.PAUSED, True, 0)
    assert held.waiting_for == "a person: resume or abort, since kim aborted version 2"
    assert (await reader.rollout("4")).is_held
    events = await reader.history("3")
    assert [event.kind for event in events] == ["rollout.created", "rollout.paused", "rollout.waiting"]
    assert [(event.phase, event.waits_for) for event in events[1:]] == [("paused", None), ("paused", "person")]
    assert world.cloud.routing == Routing.of({"1": 100})

    await ask(world, "3", Verb.RESUME)
    assert (await world.run(3)).phase is Phase.PROGRESSING
    assert (await reader.rollout("4")).phase is Phase.PAUSED


async def test_what_comes_after_the_abort_passes_those_that_it_holds(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    await ask(world, world.id, Verb.ABORT)
    await world.run(1)
    await put(world, "5")
    world.id = "5"
    assert (await world.run(1)).phase is Phase.PROGRESSING
    assert (await world.open_as("reader").rollout("3")).phase is Phase.PAUSED


async def test_the_abort_of_a_queued_rollout_holds_nobody(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    await put(world, "4")
    await ask(world, "3", Verb.ABORT)
    await world.run(1)
    reader = world.open_as("reader")
    assert (await reader.rollout("3")).phase is Phase.ABORTED
    assert (await reader.rollout("4")).phase is Phase.PENDING


async def test_a_rollback_for_harm_holds_nobody(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    world.source.bad_from = 1
    assert (await world.run(3)).phase is Phase.ROLLED_BACK
    assert (await world.open_as("reader").rollout("3")).phase is not Phase.PAUSED


async def test_a_return_goes_before_all_that_wait_and_is_not_held(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    await put(world, "4", is_revert=True)
    await ask(world, world.id, Verb.ABORT)
    await world.run(1)
    world.id = "4"
    assert (await world.run(1)).phase is Phase.PROGRESSING


async def test_what_is_asked_of_a_queued_rollout_is_obeyed_while_the_cloud_is_away(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    await ask(world, "3", Verb.ABORT)
    world.cloud.trouble = AWAY
    await world.run(1)
    assert (await world.open_as("reader").rollout("3")).phase is Phase.ABORTED


async def test_a_row_of_versions_that_give_way_is_considered_in_one_tick(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    for number in ("3", "4", "5"):
        await put(world, number)
    await world.run(1)
    store = world.open_as("reader")
    ended = [await store.rollout(each) for each in (world.id, "3", "4")]
    assert {rollout.phase for rollout in ended} == {Phase.SUPERSEDED}
    assert world.cloud.sent == [Routing.of({"1": 90, "5": 10})]


async def test_a_paused_rollout_that_waits_takes_nobodys_place(world: SmallWorld) -> None:
    world.policy = replace(a_quick_policy(), on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await world.run(1)
    await put(world, "3", phase=Phase.PAUSED, paused_at=world.time)
    assert (await world.run(1)).phase is Phase.PROGRESSING


@pytest.mark.parametrize("verb", [Verb.PAUSE, Verb.ABORT])
async def test_a_queued_rollout_does_what_a_person_asks(world: SmallWorld, verb: Verb) -> None:
    await world.begin()
    await world.run(1)
    await put(world, "3")
    await ask(world, "3", verb)
    await world.run(1)
    store = world.open_as("reader")
    assert (await store.rollout("3")).phase is {Verb.PAUSE: Phase.PAUSED, Verb.ABORT: Phase.ABORTED}[verb]
    assert await store.commands("3") == []


@pytest.mark.parametrize("on_new_version", list(OnNewVersion))
async def test_a_version_that_cannot_be_ends_its_own_rollout_and_stops_no_other(
    world: SmallWorld, on_new_version: OnNewVersion
) -> None:
    """Releases before took any text for a version."""
    world.policy = replace(a_quick_policy(), on_new_version=on_new_version)
    await world.begin()
    store, ticker = world.ticker()
    await tick_with(world, ticker, store)
    await put(world, "..")
    await tick_with(world, ticker, store)
    in_hand = await store.rollout(world.id)
    assert in_hand.phase is Phase.PROGRESSING
    await ask(world, world.id, Verb.ABORT)
    await tick_with(world, ticker, store)
    assert (await store.rollout(world.id)).phase is Phase.ROLLED_BACK
    await ask(world, "..", Verb.RESUME)
    await tick_with(world, ticker, store)
    ended = await store.rollout("..")
    assert ended.phase is Phase.FAILED
    assert "version .. does not exist" in ended.because
