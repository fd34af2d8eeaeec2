"""How often a tick asks for the versions of its trial: seldom while nothing changes, and before each change."""

from dataclasses import dataclass, field

import pytest

from foundry_rollouts.controller.existence import LASTS
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import Store, VersionSeen
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


@dataclass
class Trial:
    """A rollout that one and the same replica ticks."""

    world: SmallWorld
    cloud: CountingCloud
    store: Store
    ticker: Ticker

    async def ticks(self, count: int, *, calls: int = 0) -> Rollout:
        """Tick so often, with so many calls of each version in each window."""
        self.world.source.calls = calls
        for _ in range(count):
            self.world.time += TICK
            for lease in await self.store.claim_due(self.world.time, 10):
                await self.ticker.tick(lease)
                await self.store.release(lease)
        return await self.store.rollout(self.world.id)

    def reads(self) -> list[str]:
        """Return the versions that were read since this was asked last."""
        reads, self.cloud.reads = self.cloud.reads, []
        return reads


@pytest.fixture
async def trial(world: SmallWorld) -> Trial:
    """Return a trial whose canary has its first weight."""
    cloud = world.cloud = world.source.cloud = CountingCloud(name=world.cloud.name)
    await world.begin()
    trial = Trial(world, cloud, *world.ticker())
    assert (await trial.ticks(2)).phase is Phase.PROGRESSING
    return trial


async def test_ticks_that_change_nothing_read_each_version_every_third_time(trial: Trial) -> None:
    trial.reads()
    await trial.ticks(10 * LASTS)
    assert sorted(trial.reads()) == ["1"] * 10 + ["2"] * 10


async def test_a_version_that_went_since_it_was_read_is_noticed_before_the_next_step(trial: Trial) -> None:
    step = (await trial.ticks(0)).step
    trial.cloud.deleted = "1"
    rollout = await trial.ticks(1, calls=100_000)
    assert "1" in trial.reads()
    assert (rollout.step, rollout.phase) == (step, Phase.PROGRESSING)
    assert rollout.because == "the cloud shows version 1 no more; read once more before it is believed"
    assert (await trial.ticks(1)).phase is Phase.PAUSED


async def test_a_step_waits_while_versions_cannot_be_read_again(trial: Trial) -> None:
    step = (await trial.ticks(0)).step
    trial.cloud.answers = False
    rollout = await trial.ticks(1, calls=100_000)
    assert (rollout.step, rollout.phase) == (step, Phase.PROGRESSING)
    assert "the cloud cannot be read" in rollout.because
    trial.cloud.answers = True
    assert (await trial.ticks(1, calls=100_000)).step > step


async def test_harm_leads_back_whatever_was_read_before(trial: Trial) -> None:
    trial.world.source.bad_from = 1
    assert (await trial.ticks(3, calls=1000)).phase is Phase.ROLLED_BACK
