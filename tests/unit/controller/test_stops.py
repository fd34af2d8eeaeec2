"""Sessions that a rollback is to stop are stopped in the end, and until then the history tells that they are not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, an_event
from foundry_rollouts.core.model.effects import SessionsOnRollback
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import SessionSeen, SessionStatus
from small_world import LEASE, SmallCloud, SmallWorld, a_quick_policy

AWAY = CloudError("sessions.list", Refusal(503, "busy", "come again"))
REFUSED = CloudError("sessions.stop", Refusal(409, "conflict", "not now"))


@dataclass
class Busy(SmallCloud):
    """Two versions with live sessions; listing or stopping them is refused as long as the test says."""

    listing: CloudError | None = None
    stopping: CloudError | None = None
    late: list[str] = field(default_factory=list)  #: Sessions that appear late.

    async def sessions(self, agent: str) -> AsyncIterator[SessionSeen]:
        if self.listing:
            raise self.listing
        async for session in super().sessions(agent):
            yield session
        for each in self.late:
            status = SessionStatus.IDLE if each in self.stopped else SessionStatus.CREATING
            yield SessionSeen(each, "2", NOON, status)

    async def stop_session(self, agent: str, session: str) -> None:
        if self.stopping:
            raise self.stopping
        await super().stop_session(agent, session)


async def harmed(world: SmallWorld, **troubles: Any) -> Busy:
    """Roll a canary back while its sessions cannot be stopped."""
    world.cloud = cloud = Busy(world.cloud.name, **troubles)
    world.source.cloud = cloud
    world.policy = a_quick_policy(sessions_on_rollback=SessionsOnRollback.STOP)
    world.source.bad_from = 1
    await world.begin()
    assert (await world.run(10)).phase is Phase.ROLLED_BACK
    return cloud


async def later(world: SmallWorld, seconds: float) -> Rollout:
    """Let other replicas look for so long, each once every ten seconds."""
    for _ in range(int(seconds / 10)):
        store, ticker = world.ticker()
        world.time += timedelta(seconds=10)
        for lease in await store.claim_due(world.time, 10):
            is_kept = await ticker.tick(lease)
            # The agent is kept for as long as it is due again.
            stops = (await store.rollout(world.id)).stops
            assert is_kept == (stops is not None and not stops.is_done)
            await store.release(lease)
    return await world.open_as("reader").rollout(world.id)


async def told(world: SmallWorld) -> list[Event]:
    history = await world.open_as("reader").history(world.id)
    return [event for event in history if event.kind.startswith("sessions.")]


async def is_asleep(world: SmallWorld) -> bool:
    far = world.time + timedelta(days=1)
    return not await world.open_as("reader").claim_due(far, 10)


@pytest.mark.parametrize("trouble", [{"listing": AWAY}, {"stopping": REFUSED}])
async def test_sessions_that_cannot_be_stopped_are_tried_again_by_whoever_holds_the_agent(
    world: SmallWorld, trouble: dict[str, CloudError]
) -> None:
    cloud = await harmed(world, **trouble)
    await later(world, 60)
    assert cloud.stopped == []
    (event,) = await told(world)
    assert event.kind == "sessions.unstopped"
    assert "live sessions of version 2 are not stopped yet, and it is tried again: sessions." in event.because
    cloud.listing = cloud.stopping = None
    rollout = await later(world, 60)
    assert cloud.stopped == ["session-2"]
    assert [event.kind for event in await told(world)] == ["sessions.unstopped", "sessions.stopped"]
    assert (await told(world))[-1].because == "live sessions of version 2 were stopped: 1"
    assert not rollout.owes_stops
    assert rollout.event_count == len(await world.open_as("reader").history(world.id))
    assert await is_asleep(world)


@pytest.mark.parametrize("status", [s for s in SessionStatus if s.is_live])
async def test_sessions_of_any_live_status_are_stopped_at_once(world: SmallWorld, status: SessionStatus) -> None:
    world.cloud.session_status = status
    world.policy = a_quick_policy(sessions_on_rollback=SessionsOnRollback.STOP)
    world.source.bad_from = 1
    await world.begin()
    await world.run(10)
    assert world.cloud.stopped == ["session-2"]
    await later(world, 60)
    assert await told(world) == []
    assert await is_asleep(world)


async def test_a_session_that_appears_late_is_stopped_too(world: SmallWorld) -> None:
    cloud = await harmed(world)
    await later(world, 10)
    cloud.late = ["late-one"]
    rollout = await later(world, 60)
    assert cloud.stopped == ["session-2", "late-one"]
    assert rollout.stops is not None
    assert (rollout.stops.count, rollout.stops.is_done) == (2, True)


async def test_an_agent_that_is_gone_has_no_sessions(world: SmallWorld) -> None:
    cloud = await harmed(world, listing=CloudError("sessions.list", Refusal(404, "not_found", "no such agent")))
    await later(world, 30)
    assert (cloud.stopped, await told(world), await is_asleep(world)) == ([], [], True)


async def test_a_version_that_is_on_trial_again_keeps_its_sessions(world: SmallWorld) -> None:
    cloud = await harmed(world, stopping=REFUSED)
    await later(world, 20)
    store = world.open_as("api")
    first = await store.rollout(world.id)
    again = replace(a_second(first, world), author="kim")
    await store.create(again, an_event(id="again:1", agent=again.agent, rollout="again"), None)
    cloud.stopping, world.source.bad_from = None, 101
    store, ticker = world.ticker()
    for _ in range(4):
        world.time += LEASE
        for lease in await store.claim_due(world.time, 10):
            await ticker.tick(lease)
            await store.release(lease)
    assert cloud.stopped == []
    assert not (await store.rollout(world.id)).owes_stops


def a_second(first: Rollout, world: SmallWorld) -> Rollout:
    """Return another trial of the same version."""
    return Rollout("again", first.agent, first.canary, first.stable, first.policy, world.time, event_count=1)
