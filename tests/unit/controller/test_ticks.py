"""What one pass over an agent does, with the real store and a small cloud."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from foundry_rollouts.controller.existence import Compared
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.effects import SessionsOnRollback
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.policy import Automatic
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import VersionStatus
from small_world import TICK, SmallSource, SmallWorld, a_quick_policy
from unit.controller.asking import ask, kinds

AWAY = CloudError("agents.get", Refusal(None, "connection", "no answer"))


async def test_a_healthy_canary_is_walked_to_the_end_with_one_change_a_step(world: SmallWorld) -> None:
    await world.begin()
    rollout = await world.run(20)
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
    rollout = await world.run(20)
    assert rollout.phase is Phase.PROMOTED
    assert [routing.weight("2") for routing in world.cloud.sent] == [1, 50, 100]
    steps = [(kind, step) for kind, step, *_ in await world.history()]
    assert steps == [
        ("rollout.created", None), ("rollout.started", 1), ("rollout.advanced", 6), ("rollout.advanced", 7),
        ("rollout.promoted", 7),
    ]  # fmt: skip


@dataclass
class NotingSource(SmallSource):
    """A source with a word for the history, in its second window and in no other."""

    windows: int = 0

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        self.windows += 1
        note = "the service fell back" if self.windows == 2 else None
        return [replace(each, note=note) for each in await super().measure(rollout, window)]


async def test_what_a_source_notes_is_in_the_history_at_once_and_the_rollout_goes_on(world: SmallWorld) -> None:
    world.watched_by = NotingSource
    world.source = NotingSource(world.cloud)
    await world.begin()
    await world.run(3)
    noted = [event for event in await world.history() if event[3].startswith("the service fell back. ")]
    assert len(noted) == 1
    assert (await world.run(20)).phase is Phase.PROMOTED


async def test_a_version_that_is_still_created_is_waited_for(world: SmallWorld) -> None:
    world.cloud.status = VersionStatus.CREATING
    await world.begin()
    rollout = await world.run(1)
    assert rollout.phase is Phase.PENDING
    assert rollout.waiting_for == "version 2 to become active (it is creating)"


async def test_a_version_that_cannot_be_built_fails_with_the_services_own_words(world: SmallWorld) -> None:
    world.cloud.status = VersionStatus.FAILED
    await world.begin()
    assert (await world.run(1)).phase is Phase.PENDING
    rollout = await world.run(1)
    assert rollout.phase is Phase.FAILED
    assert rollout.because == "version 2 is failed: the wheel is missing"
    assert world.cloud.sent == []


async def test_a_cloud_that_cannot_be_read_holds_and_harm_is_answered_when_it_can(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    world.cloud.trouble = AWAY
    rollout = await world.run(3)
    assert (rollout.phase, rollout.step) == (Phase.PROGRESSING, 1)
    assert rollout.waiting_for == "the cloud to answer"
    world.cloud.trouble = None
    assert (await world.run(20)).phase is Phase.PROMOTED


async def test_a_deleted_agent_ends_its_rollout(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    world.cloud.trouble = CloudError("agents.get", Refusal(404, "not_found", "no such agent"))
    rollout = await world.run(1)
    assert (rollout.phase, rollout.waiting_for) == (Phase.PROGRESSING, "a second read")
    rollout = await world.run(1)
    assert (rollout.phase, rollout.because) == (Phase.SUPERSEDED, "the agent was deleted")


async def test_an_agent_that_is_missing_at_one_look_only_goes_on(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    world.cloud.trouble = CloudError("agents.get", Refusal(404, "not_found", "no such agent"))
    await world.run(1)
    world.cloud.trouble = None
    assert (await world.run(20)).phase is Phase.PROMOTED


async def test_harm_with_a_deleted_stable_version_closes_the_endpoint(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> Compared:
        return Compared((), None)

    await world.begin()
    await world.run(1)
    world.source.bad_from = 1
    # It is deleted between the check and the way back.
    monkeypatch.setattr("foundry_rollouts.controller.observe.compared", nothing)
    world.cloud.deleted = "1"
    for _ in range(10):
        if (await kinds(world))[-1] == "held":
            break
        await world.run(1)
    monkeypatch.undo()
    rollout = await world.run(3)
    assert rollout.phase is Phase.DISABLED
    assert not world.cloud.routing.is_open
    assert (await kinds(world))[-2:] == ["held", "disabled"]


async def test_a_command_is_obeyed_once_and_the_more_urgent_one_first(world: SmallWorld) -> None:
    await world.begin()
    await world.run(1)
    await ask(world, Verb.PROMOTE)
    await ask(world, Verb.ABORT)
    rollout = await world.run(1)
    assert rollout.phase is Phase.ROLLED_BACK
    assert rollout.because == "kim asked to abort: so"


async def test_live_sessions_of_a_canary_are_stopped_where_the_policy_says_so(
    world: SmallWorld,
) -> None:
    world.policy = a_quick_policy(sessions_on_rollback=SessionsOnRollback.STOP)
    world.source.bad_from = 1
    await world.begin()
    assert (await world.run(10)).phase is Phase.ROLLED_BACK
    assert world.cloud.stopped == ["session-2"]


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
