"""Versions that are deleted while the database is away: nothing is asked for that is gone, harm is still answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import Lease
from small_world import TICK, SmallCloud, SmallSource, SmallWorld

STABLE = Routing.of({"1": 100})
LOOK = timedelta(seconds=6)


@dataclass
class CountingCloud(SmallCloud):
    """Remembers which weights were sent, taken or refused."""

    asked: list[Routing] = field(default_factory=list)
    is_busy: bool = False

    async def route(self, agent: str, routing: Routing) -> bool:
        self.asked.append(routing)
        if self.is_busy:
            raise CloudError("agents.route", Refusal(503, "unavailable", "not now"))
        return await super().route(agent, routing)


@dataclass
class GoneAnswers404(SmallSource):
    """A version that is deleted answers every call with 404; half of the canary's calls fail when asked for."""

    is_bad: bool = False

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        return (Measurement(self.name, window, self._counts("1", 0), self._counts("2", self.calls // 2)),)

    def _counts(self, version: str, failures: int) -> Counts:
        failures = failures if self.is_bad else 0
        failures = self.calls if version == self.cloud.deleted else failures
        return Counts(self.calls, failures, causes=(("HTTP 404", failures),) if failures else ())


@pytest.fixture
async def watched(world: SmallWorld) -> tuple[SmallWorld, Ticker, Lease]:
    """Return a canary at its first weight, which its replica watches without the database from now on."""
    world.cloud = CountingCloud(name=world.cloud.name)
    world.source = GoneAnswers404(world.cloud)
    await world.begin()
    store, ticker = world.ticker()
    world.time += TICK
    (lease,) = await store.claim_due(world.time, 10)
    await ticker.tick(lease)
    assert world.cloud.routing.weight("2") == 10
    return world, ticker, lease


async def watch(world: SmallWorld, ticker: Ticker, lease: Lease, times: int = 4) -> list[Routing]:
    """Look without the database; return which weights were sent."""
    cloud = world.cloud
    assert isinstance(cloud, CountingCloud)
    before = len(cloud.asked)
    for _ in range(times):
        world.time += LOOK
        await ticker.offline.check_offline(lease)
    return cloud.asked[before:]


async def test_weights_never_name_a_stable_version_that_was_deleted_and_harm_that_was_proved_closes_it(
    watched: tuple[SmallWorld, Ticker, Lease],
) -> None:
    world, ticker, lease = watched
    world.cloud.is_busy, world.source.is_bad = True, True  # type: ignore[attr-defined]
    assert await watch(world, ticker, lease, times=1) == [STABLE]
    world.cloud.deleted, world.cloud.is_busy = "1", False  # type: ignore[attr-defined]
    assert [routing for routing in await watch(world, ticker, lease, times=2) if routing.weight("1")] == []
    assert not world.cloud.routing.is_open
    await ticker.offline.flush()
    rollout = await world.open_as("reader").rollout(world.id)
    assert (rollout.phase, rollout.is_stable_gone) == (Phase.DISABLED, True)


async def test_the_404s_of_a_stable_version_that_is_gone_move_nothing(
    watched: tuple[SmallWorld, Ticker, Lease],
) -> None:
    world, ticker, lease = watched
    world.cloud.deleted = "1"
    assert await watch(world, ticker, lease) == []
    assert world.cloud.routing == Routing.of({"1": 90, "2": 10})
    ward = ticker.offline.last_known[lease.agent]
    assert sum(track.at_step.stable_failures for track in ward.evidence.tracks) == 0


async def test_a_canary_that_is_gone_goes_back_once_and_is_recorded_as_what_it_is(
    watched: tuple[SmallWorld, Ticker, Lease],
) -> None:
    world, ticker, lease = watched
    world.cloud.deleted = "2"
    assert await watch(world, ticker, lease) == [STABLE]
    assert world.cloud.routing == STABLE
    await ticker.offline.flush()
    rollout = await world.open_as("reader").rollout(world.id)
    assert rollout.phase is Phase.FAILED
    assert rollout.because == "version 2 was deleted during its trial; all new sessions go to version 1"


async def test_a_canary_that_is_missing_at_one_look_is_not_given_up(watched: tuple[SmallWorld, Ticker, Lease]) -> None:
    world, ticker, lease = watched
    world.cloud.deleted = "2"
    assert await watch(world, ticker, lease, times=1) == []
    world.cloud.deleted = None
    assert await watch(world, ticker, lease, times=3) == []
    assert world.cloud.routing.weight("2") == 10
