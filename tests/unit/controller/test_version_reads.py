"""How often a tick asks for the versions of its trial: seldom while nothing changes, and before each change."""

from dataclasses import dataclass, field

import pytest

from foundry_rollouts.controller.existence import LASTS
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import VersionSeen
from small_world import TICK, SmallCloud, SmallWorld


@dataclass
class CountingCloud(SmallCloud):
    """Counts the reads of versions."""

    reads: list[str] = field(default_factory=list)
    answers: bool = True

    async def version(self, agent: str, version: str) -> VersionSeen:
        self.reads.append(version)
        if not self.answers:
            raise CloudError("versions.get", Refusal(503, "unavailable", "no answer"))
        return await super().version(agent, version)


@pytest.fixture
async def trial(world: SmallWorld) -> SmallWorld:
    """Return a world whose canary has its first weight, and calls too few to prove anything."""
    world.cloud = CountingCloud(name=world.cloud.name)
    world.source.cloud = world.cloud
    world.source.calls = 0
    await world.begin()
    return world


async def ticks(world: SmallWorld, count: int, *, calls: int = 0) -> Rollout:
    """Let one and the same replica tick so often."""
    store, ticker = world.replica = getattr(world, "replica", None) or world.ticker()
    world.source.calls = calls
    for _ in range(count):
        world.time += TICK
        for lease in await store.claim_due(world.time, 10):
            await ticker.tick(lease)
            await store.release(lease)
    return await store.rollout(world.id)


def reads_of(world: SmallWorld) -> list[str]:
    """Return the versions that were read since this was asked last."""
    assert isinstance(world.cloud, CountingCloud)
    reads, world.cloud.reads = world.cloud.reads, []
    return reads


async def test_ticks_that_change_nothing_read_each_version_every_third_time(trial: SmallWorld) -> None:
    rollout = await ticks(trial, 2)
    assert rollout.phase is Phase.PROGRESSING
    reads_of(trial)
    await ticks(trial, 10 * LASTS)
    assert sorted(reads_of(trial)) == ["1"] * 10 + ["2"] * 10


async def test_a_version_that_went_since_it_was_read_is_noticed_before_the_next_step(trial: SmallWorld) -> None:
    step = (await ticks(trial, 2)).step
    reads_of(trial)
    trial.cloud.deleted = "1"
    rollout = await ticks(trial, 1, calls=100_000)
    assert "1" in reads_of(trial)
    assert (rollout.step, rollout.phase) == (step, Phase.PROGRESSING)
    assert rollout.because == "the cloud shows version 1 no more; read once more before it is believed"
    assert (await ticks(trial, 1)).phase is Phase.PAUSED


async def test_a_step_waits_while_versions_cannot_be_read_again(trial: SmallWorld) -> None:
    step = (await ticks(trial, 2)).step
    assert isinstance(trial.cloud, CountingCloud)
    trial.cloud.answers = False
    rollout = await ticks(trial, 1, calls=100_000)
    assert (rollout.step, rollout.phase) == (step, Phase.PROGRESSING)
    assert "the cloud cannot be read" in rollout.because
    trial.cloud.answers = True
    assert (await ticks(trial, 1, calls=100_000)).step > step


async def test_harm_leads_back_whatever_was_read_before(trial: SmallWorld) -> None:
    await ticks(trial, 2)
    trial.source.bad_from = 1
    assert (await ticks(trial, 3, calls=1000)).phase is Phase.ROLLED_BACK
