"""How often a tick asks for the versions of its trial: seldom while nothing changes, and before each change."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from builders import NOON, a_rollout
from foundry_rollouts.controller.existence import LASTS, LastReads, compared
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import AgentSeen, Store, VersionSeen
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


@dataclass
class ShowingCloud(CountingCloud):
    """Shows of an agent what it shows of its latest version."""

    async def agent(self, name: str) -> AgentSeen:
        seen = await super().agent(name)
        return replace(seen, latest=await SmallCloud.version(self, name, self.latest))


async def test_a_version_that_its_agent_shows_as_it_was_read_is_not_read_again(world: SmallWorld) -> None:
    cloud = world.cloud = world.source.cloud = ShowingCloud(name=world.cloud.name)
    await world.begin()
    trial = Trial(world, cloud, *world.ticker())
    await trial.ticks(2)
    trial.reads()
    await trial.ticks(10 * LASTS)
    assert trial.reads() == ["1"] * 10
    cloud.created["2"] = NOON
    await trial.ticks(1)
    assert "2" in trial.reads()


async def test_trials_that_begin_together_read_in_different_ticks(world: SmallWorld) -> None:
    cloud: Any = CountingCloud(name="support")
    await world.begin()
    _, ticker = world.ticker()
    present = replace(ticker.world, cloud=cloud)
    reads, each_tick = LastReads(LASTS * TICK), list[int]()
    for number in range(10 * LASTS):
        now = NOON + number * TICK
        for agent in range(50):
            rollout = a_rollout(agent=f"agent-{agent}", step=1, phase=Phase.PROGRESSING)
            await compared(present, rollout, reads, now)
        each_tick.append(len(cloud.reads))
        cloud.reads = []
    assert each_tick[0] == 100
    assert all(20 <= count <= 50 for count in each_tick[1:])


async def test_a_way_back_reads_once_more_where_it_leads_and_not_what_it_leaves(trial: Trial) -> None:
    world, reads = trial.ticker.world, LastReads(LASTS * TICK)
    rollout = await trial.ticks(0)
    for is_retreat, again in ((True, ["1"]), (False, ["1", "2"])):
        await compared(world, rollout, reads, trial.world.time)
        trial.reads()
        assert await reads.are_as_read(world, rollout, trial.world.time + TICK / 10, is_retreat=is_retreat)
        assert sorted(trial.reads()) == again
        reads.forget(rollout.agent)


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
