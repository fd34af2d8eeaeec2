"""A rollout whose canary never has a sandbox ready moves nothing, before its first weight and after it."""

from dataclasses import dataclass, field
from datetime import timedelta

from foundry_rollouts.core.deciding.readiness import Readiness, Sandboxes
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import VersionStatus
from small_world import TICK, SmallWorld


@dataclass
class ReadinessChecks:
    """Sandboxes of stable are ready; those of the canary are as the test says."""

    world: SmallWorld
    cold_since: object = None
    asked: int = 0
    released: list[str] = field(default_factory=list)

    async def check(self, rollout: Rollout) -> Readiness:
        self.asked += 1
        now = self.world.time
        well = Sandboxes(now, timedelta(seconds=3), now)
        return Readiness(Sandboxes(self.cold_since) if self.cold_since else well, well)  # type: ignore[arg-type]

    async def release(self, rollout: str) -> None:
        self.released.append(rollout)


async def test_a_canary_that_is_never_ready_fails_before_a_user_was_sent(world: SmallWorld) -> None:
    world.ready = looks = ReadinessChecks(world, cold_since=world.time)
    await world.begin()
    waits = await world.run(1)
    assert (waits.phase, waits.waiting_for) == (Phase.PENDING, "a sandbox of version 2 to be ready")
    failed = await world.run(20)
    assert failed.phase is Phase.FAILED
    assert failed.because == "no sandbox of version 2 was ready within 3m, stable's are ready in 3 s"
    assert failed.ended_at == failed.created_at + timedelta(minutes=3)
    assert world.cloud.sent == []
    assert looks.released == [world.id]


async def test_a_canary_that_loses_its_sandboxes_is_rolled_back_at_any_step(world: SmallWorld) -> None:
    world.ready = looks = ReadinessChecks(world)
    world.source.calls = 0
    await world.begin()
    assert (await world.run(2)).phase is Phase.PROGRESSING
    looks.cold_since = world.time
    assert (await world.run(1 + int(timedelta(minutes=3) / TICK))).phase is Phase.ROLLED_BACK
    assert world.cloud.routing == Routing.of({"1": 100})
    assert looks.released == [world.id]


async def test_nobody_looks_while_something_else_is_waited_for(world: SmallWorld) -> None:
    world.ready = looks = ReadinessChecks(world)
    world.cloud.status = VersionStatus.CREATING
    await world.begin()
    await world.run(2)
    assert looks.asked == 0
