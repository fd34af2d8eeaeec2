"""What one pass over an agent does, with the real store and a small cloud."""

from dataclasses import replace
from typing import Any

import pytest

from builders import a_rollout, an_event
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.policy import Automatic, OnDrift, OnNewVersion, SessionsOnRollback
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError, LeaseLostError, Refusal, StoreError
from foundry_rollouts.ports import VersionStatus
from small_world import LEASE, TICK, KilledError, SmallWorld, a_quick_policy

AWAY = CloudError("agents.get", Refusal(None, "connection", "no answer"))


async def ticked(world: SmallWorld, times: int = 1) -> Rollout:
    return await world.run(times)


async def ask(world: SmallWorld, verb: Verb) -> None:
    store = world.open_as("api")
    rollout = await store.rollout(world.id)
    await store.accept(Command(f"c-{verb}", rollout.id, verb, rollout.generation, world.time, "kim", "so"))


async def kinds(world: SmallWorld) -> list[str]:
    return [kind.removeprefix("rollout.") for kind, *_ in await world.history()]


async def test_a_healthy_canary_is_walked_to_the_end_with_one_change_a_step(world: SmallWorld) -> None:
    await world.begin()
    rollout = await ticked(world, 20)
    assert rollout.phase is Phase.PROMOTED
    assert [routing.weight("2") for routing in world.cloud.sent] == [10, 50, 100]
    assert await kinds(world) == ["created", "started", "advanced", "advanced", "promoted"]
    known = await world.open_as("reader").agent(world.cloud.name)
    assert known is not None
    assert known.stable == "2"
    assert world.source.released == [world.id]


async def test_automatic_steps_go_where_the_evidence_leads_and_are_told_as_steps(world: SmallWorld) -> None:
    settings = Automatic(soak=2 * TICK)
    world.policy = replace(a_quick_policy(), steps=settings.steps, automatic=settings)
    await world.begin()
    rollout = await ticked(world, 20)
    assert rollout.phase is Phase.PROMOTED
    assert [routing.weight("2") for routing in world.cloud.sent] == [1, 50, 100]
    steps = [(kind, step) for kind, step, *_ in await world.history()]
    assert steps == [
        ("rollout.created", None), ("rollout.started", 1), ("rollout.advanced", 6), ("rollout.advanced", 7),
        ("rollout.promoted", 7),
    ]  # fmt: skip


async def test_a_version_that_is_still_created_is_waited_for(world: SmallWorld) -> None:
    world.cloud.status = VersionStatus.CREATING
    await world.begin()
    rollout = await ticked(world)
    assert rollout.phase is Phase.PENDING
    assert rollout.waiting_for == "version 2 to become active (it is creating)"


async def test_a_version_that_cannot_be_built_fails_with_the_services_own_words(world: SmallWorld) -> None:
    world.cloud.status = VersionStatus.FAILED
    await world.begin()
    assert (await ticked(world)).phase is Phase.PENDING
    rollout = await ticked(world)
    assert rollout.phase is Phase.FAILED
    assert rollout.because == "version 2 is failed: the wheel is missing"
    assert world.cloud.sent == []


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
    await ticked(world)
    waiting = await world.open_as("reader").rollout("second")
    assert waiting.waiting_for == "the queue: an earlier rollout of this agent has not ended"
    await ticked(world, 20)
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
    assert (await ticked(world, 20)).phase is Phase.PROMOTED
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
    assert (await ticked(world, 20)).phase is (Phase.PROMOTED if is_promoted else Phase.ROLLED_BACK)
    world.id, world.source.bad_from = "1", 101
    rollout = await ticked(world, 3)
    stable = "3" if is_promoted else "2"
    assert (rollout.stable, rollout.is_revert) == (stable, not is_promoted)
    begun = next(event for event in await store.history("1") if event.kind == "rollout.started")
    assert begun.weights == dict(Routing.of({"1": first, stable: 100 - first}).weights)
    assert ("was stable before" in begun.because) is not is_promoted


async def test_drift_pauses_and_what_another_hand_set_stays(world: SmallWorld) -> None:
    await world.begin()
    await ticked(world)
    world.cloud.routing = Routing.of({"1": 40, "2": 60})
    rollout = await ticked(world)
    assert rollout.phase is Phase.PAUSED
    assert world.cloud.routing == Routing.of({"1": 40, "2": 60})
    await ask(world, Verb.RESUME)
    await ticked(world)
    assert world.cloud.routing == Routing.of({"1": 90, "2": 10})


@pytest.mark.parametrize("found", [Routing.of({"1": 40, "2": 60}), Routing.of({LATEST: 100}), Routing.of({"9": 100})])
async def test_drift_is_restored_to_the_plan_where_the_policy_says_so(world: SmallWorld, found: Routing) -> None:
    world.policy = a_quick_policy(on_drift=OnDrift.RESTORE)
    await world.begin()
    await ticked(world)
    world.cloud.routing = found
    rollout = await ticked(world)
    assert rollout.phase is Phase.PROGRESSING
    assert world.cloud.routing == Routing.of({"1": 90, "2": 10})


async def test_an_adopted_drift_ends_the_rollout_and_what_serves_most_is_stable(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_drift=OnDrift.ADOPT)
    await world.begin()
    await ticked(world)
    world.cloud.routing = Routing.of({"1": 20, "2": 80})
    rollout = await ticked(world)
    assert rollout.phase is Phase.SUPERSEDED
    assert world.cloud.routing == Routing.of({"1": 20, "2": 80})
    known = await world.open_as("reader").agent(world.cloud.name)
    assert known is not None
    assert known.stable == "2"


async def test_an_endpoint_that_a_person_disabled_is_never_enabled(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_drift=OnDrift.RESTORE)
    await world.begin()
    await ticked(world)
    world.cloud.routing = replace(world.cloud.routing, is_open=False)
    assert (await ticked(world)).phase is Phase.PAUSED
    await ask(world, Verb.ABORT)
    assert (await ticked(world)).phase is Phase.ROLLED_BACK
    assert world.cloud.routing == replace(Routing.of({"1": 100}), is_open=False)


async def test_a_cloud_that_cannot_be_read_holds_and_harm_is_answered_when_it_can(world: SmallWorld) -> None:
    await world.begin()
    await ticked(world)
    world.cloud.trouble = AWAY
    rollout = await ticked(world, 3)
    assert (rollout.phase, rollout.step) == (Phase.PROGRESSING, 1)
    assert rollout.waiting_for == "the cloud to answer"
    world.cloud.trouble = None
    assert (await ticked(world, 20)).phase is Phase.PROMOTED


async def test_a_deleted_agent_ends_its_rollout(world: SmallWorld) -> None:
    await world.begin()
    await ticked(world)
    world.cloud.trouble = CloudError("agents.get", Refusal(404, "not_found", "no such agent"))
    rollout = await ticked(world)
    assert (rollout.phase, rollout.waiting_for) == (Phase.PROGRESSING, "a second look")
    rollout = await ticked(world)
    assert (rollout.phase, rollout.because) == (Phase.SUPERSEDED, "the agent was deleted")


async def test_an_agent_that_is_missing_at_one_look_only_goes_on(world: SmallWorld) -> None:
    await world.begin()
    await ticked(world)
    world.cloud.trouble = CloudError("agents.get", Refusal(404, "not_found", "no such agent"))
    await ticked(world)
    world.cloud.trouble = None
    assert (await ticked(world, 20)).phase is Phase.PROMOTED


async def test_harm_with_a_deleted_stable_version_closes_the_endpoint(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> tuple[str, ...]:
        return ()

    await world.begin()
    await ticked(world)
    world.source.bad_from = 1
    # It is deleted between the look and the way back.
    monkeypatch.setattr("foundry_rollouts.controller.observe.absent", nothing)
    world.cloud.deleted = "1"
    for _ in range(10):
        if (await kinds(world))[-1] == "held":
            break
        await ticked(world)
    monkeypatch.undo()
    rollout = await ticked(world, 3)
    assert rollout.phase is Phase.DISABLED
    assert not world.cloud.routing.is_open
    assert (await kinds(world))[-2:] == ["held", "disabled"]


async def test_a_command_is_obeyed_once_and_the_more_urgent_one_first(world: SmallWorld) -> None:
    await world.begin()
    await ticked(world)
    await ask(world, Verb.PROMOTE)
    await ask(world, Verb.ABORT)
    rollout = await ticked(world)
    assert rollout.phase is Phase.ROLLED_BACK
    assert rollout.because == "kim asked to abort: so"


async def test_live_sessions_of_a_canary_are_stopped_where_the_policy_says_so(
    world: SmallWorld,
) -> None:
    world.policy = a_quick_policy(sessions_on_rollback=SessionsOnRollback.STOP)
    world.source.bad_from = 1
    await world.begin()
    assert (await ticked(world, 10)).phase is Phase.ROLLED_BACK
    assert world.cloud.stopped == ["session-2"]


class Away:
    """A store whose database is away."""

    def __init__(self, real: Any) -> None:
        self.real, self.is_away = real, False

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.is_away:
                raise StoreError("database away")
            return await getattr(self.real, name)(*args, **kwargs)

        return call


async def test_a_failing_canary_is_taken_back_while_the_database_is_away_and_recorded_later(world: SmallWorld) -> None:
    await world.begin()
    store: Any = Away(world.open_as("replica-1"))
    _, ticker = world.ticker()
    ticker = replace(ticker, world=replace(ticker.world, store=store))
    ticker.offline.world = ticker.world
    world.time += TICK
    (lease,) = await store.claim_due(world.time, 10)
    await ticker.tick(lease)
    assert world.cloud.routing.weight("2") == 10

    store.is_away, world.source.bad_from = True, 1
    with pytest.raises(StoreError):
        await ticker.tick(lease)
    for _ in range(2):
        world.time += TICK / 2
        await ticker.offline.check_offline(lease)
    assert world.cloud.routing == Routing.of({"1": 100})

    with pytest.raises(StoreError):
        await ticker.offline.flush()
    store.is_away = False
    world.time += LEASE
    await ticker.offline.flush()
    assert (await store.rollout(world.id)).phase is Phase.ROLLED_BACK
    assert await kinds(world) == ["created", "started", "rolled_back"]


async def test_nobody_acts_on_a_lease_that_ran_out_while_the_database_is_away(world: SmallWorld) -> None:
    await world.begin()
    _, ticker = world.ticker()
    world.time += TICK
    (lease,) = await world.open_as("replica-1").claim_due(world.time, 10)
    await ticker.tick(lease)
    world.source.bad_from = 1
    world.time += LEASE
    await ticker.offline.check_offline(lease)
    assert world.cloud.routing.weight("2") == 10


async def test_the_weights_that_metrics_show_are_those_of_the_cloud_to_the_end(world: SmallWorld) -> None:
    world.source.bad_from = 50
    await world.begin()
    store, ticker = world.ticker()
    shown = []
    for _ in range(8):
        world.time += TICK
        for lease in await store.claim_due(world.time, 10):
            await ticker.tick(lease)
        told = ticker.metrics.render()[0].decode().splitlines()
        weights = {line.split('version="')[1][0]: line.split()[-1] for line in told if "_weight{" in line}
        assert {version: float(weight) for version, weight in weights.items() if float(weight)} == dict(
            world.cloud.routing.weights
        )
        shown.append(weights)
    assert shown[-1] == {"1": "100.0", "2": "0.0"}


async def test_what_was_done_while_the_database_was_away_never_writes_over_a_successor(world: SmallWorld) -> None:
    await world.begin()
    _, ticker = world.ticker()
    world.time += TICK
    (lease,) = await world.open_as("replica-1").claim_due(world.time, 10)
    await ticker.tick(lease)
    world.source.bad_from = 1
    await ticker.offline.check_offline(lease)
    world.time += 2 * LEASE
    assert await world.open_as("successor").claim(world.cloud.name, world.time) is not None
    await ticker.offline.flush()
    assert (await world.open_as("reader").rollout(world.id)).phase is Phase.PROGRESSING
    assert ticker.offline.unsaved == {}


async def test_nothing_is_sent_once_the_lease_has_run_out(world: SmallWorld) -> None:
    await world.begin()
    _, ticker = world.ticker()
    world.time += TICK
    (lease,) = await world.open_as("replica-1").claim_due(world.time, 10)
    world.time = lease.until
    with pytest.raises(LeaseLostError):
        await ticker.tick(lease)
    assert world.cloud.sent == []


async def test_an_intent_of_another_holder_is_not_settled(world: SmallWorld) -> None:
    world.deaths.at, world.deaths.is_before = 9, True
    await world.begin()
    store, ticker = world.ticker()
    world.time += TICK
    (lease,) = await store.claim_due(world.time, 10)
    with pytest.raises(KilledError):
        await ticker.tick(lease)
    assert await world.open_as("reader").intent(world.cloud.name) is not None
    world.time += LEASE
    assert await world.open_as("successor").claim(world.cloud.name, world.time) is not None
    sent = list(world.cloud.sent)
    with pytest.raises(LeaseLostError):
        await ticker.tick(lease)
    assert world.cloud.sent == sent


async def a_newer_version(world: SmallWorld) -> None:
    """Put a rollout of version 3 behind the one of version 2."""
    world.cloud.latest = "3"
    created_at = world.time + TICK
    newer = a_rollout(
        id="newer", agent=world.cloud.name, canary="3", policy=world.policy, created_at=created_at, event_count=1
    )
    await world.open_as("api").create(newer, an_event(id="newer:1", agent=newer.agent, rollout="newer"), None)


async def test_a_newer_version_takes_the_place_of_a_trial_and_begins_from_stable(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await ticked(world)
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
    await ticked(world)
    await a_newer_version(world)
    store, sent = world.open_as("api"), list(world.cloud.sent)
    if verb is Verb.RESUME:
        await store.accept(Command("pause", "newer", Verb.PAUSE, 1, world.time, "kim"))
        await ticked(world)
    queued = await store.rollout("newer")
    await store.accept(Command("verb", "newer", verb, queued.generation, world.time, "kim"))
    running = await ticked(world)
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
    superseded = await ticked(world)
    assert superseded.phase is Phase.SUPERSEDED
    assert world.cloud.sent == []


async def test_a_newer_version_that_is_not_active_displaces_nobody(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await ticked(world)
    await a_newer_version(world)
    world.cloud.status, world.cloud.active = VersionStatus.CREATING, {"1", "2"}
    assert (await ticked(world)).phase is Phase.PROGRESSING


async def test_harm_is_told_as_harm_even_when_a_newer_version_waits(world: SmallWorld) -> None:
    world.policy = a_quick_policy(on_new_version=OnNewVersion.SUPERSEDE)
    await world.begin()
    await ticked(world)
    await a_newer_version(world)
    world.source.bad_from = 1
    assert (await ticked(world)).phase is Phase.ROLLED_BACK
