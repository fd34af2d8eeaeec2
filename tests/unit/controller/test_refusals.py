"""A change that the cloud refuses is said where people look, told once, and sent again after growing pauses."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from small_world import LEASE, SmallCloud, SmallWorld

STABLE, TEN = Routing.of({"1": 100}), Routing.of({"1": 90, "2": 10})
FORBIDDEN = Refusal(403, "forbidden", "no right")


@dataclass
class RefusingCloud(SmallCloud):
    """Refuses some routings, and remembers when it did."""

    refused: dict[Routing, Refusal] = field(default_factory=dict)
    asks_to_wait: timedelta | None = None
    tries: list[Routing] = field(default_factory=list)

    async def route(self, agent: str, routing: Routing) -> bool:
        if routing not in self.refused:
            return await super().route(agent, routing)
        self.tries.append(routing)
        error = CloudError("agents.route", self.refused[routing])
        error.retry_after = self.asks_to_wait
        raise error


@dataclass
class Scene:
    """One replica that sweeps every second, as the scheduler does."""

    world: SmallWorld
    cloud: RefusingCloud

    async def seconds(self, many: int) -> Rollout:
        store, ticker = self.world.ticker()
        for _ in range(many):
            self.world.time += timedelta(seconds=1)
            for lease in await store.claim_due(self.world.time, 10):
                try:
                    await ticker.tick(lease)
                except CloudError as error:
                    assert error.refusal.status is None  # noqa: PT017 - only a lost answer ends a tick
        self.metrics = ticker.metrics.render()[0].decode()
        self.world.time += LEASE
        return await self.stored()

    async def stored(self) -> Rollout:
        return await self.world.open_as("reader").rollout(self.world.id)

    async def told(self) -> list[str]:
        return [kind.removeprefix("rollout.") for kind, *_ in await self.world.history()]

    async def ask(self, verb: Verb) -> None:
        rollout = await self.stored()
        command = Command(f"c-{verb}", rollout.id, verb, rollout.generation, self.world.time, "kim", "so")
        await self.world.open_as("api").accept(command)


@pytest.fixture
async def scene(world: SmallWorld) -> Scene:
    cloud = RefusingCloud()
    world = SmallWorld(world.open_as, cloud=cloud)
    await world.begin()
    return Scene(world, cloud)


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (FORBIDDEN, "the cloud refuses the step to 10%: 403 forbidden: no right"),
        (Refusal(400, None, "one rule only"), "the cloud refuses the step to 10%: 400: one rule only"),
        (Refusal(409, "conflict", "busy"), "the cloud refuses the step to 10%: 409 conflict: busy"),
        (Refusal(500, None, "oops"), "the cloud refuses the step to 10%: 500: oops"),
        (Refusal(None, "dropped", "it broke"), "the cloud does not answer to the step to 10%: it broke"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Refusal) else "",
)
async def test_the_rollout_says_what_the_cloud_said_and_the_history_once(
    scene: Scene, refusal: Refusal, says: str
) -> None:
    scene.cloud.refused[TEN] = refusal
    rollout = await scene.seconds(60)
    assert rollout.phase is Phase.PENDING
    assert rollout.because.startswith(says)
    assert "; tried again in " in rollout.because
    assert rollout.waiting_for == "the cloud to take the change"
    assert (await scene.told()).count("refused") == 1
    assert len(scene.cloud.tries) <= 6
    assert 'foundry_rollouts_refused_changes_total{agent="support-r-1",change="forward"}' in scene.metrics
    scene.cloud.refused.clear()
    assert (await scene.seconds(60)).step >= 1


async def test_a_step_keeps_the_pause_that_the_cloud_asks_for_over_restarts(scene: Scene) -> None:
    scene.cloud.refused[TEN] = Refusal(429, "too_many_requests", "slow down")
    scene.cloud.asks_to_wait = timedelta(hours=1)
    for _ in range(3):
        rollout = await scene.seconds(60)
    assert len(scene.cloud.tries) == 1
    assert "(it asks to wait 3600 s)" in rollout.because


async def test_a_request_is_tried_at_once_and_stays_open_until_it_is_obeyed(scene: Scene) -> None:
    await scene.seconds(3)
    scene.cloud.refused[Routing.of({"1": 50, "2": 50})] = FORBIDDEN
    await scene.ask(Verb.PROMOTE)
    rollout = await scene.seconds(5)
    assert rollout.because.startswith("the cloud refuses the step to 50%: 403 forbidden")
    assert len(await scene.world.open_as("reader").commands("r-1")) == 1
    assert len(scene.cloud.tries) == 1
    scene.cloud.refused.clear()
    rollout = await scene.seconds(5)
    assert rollout.step == 2
    assert await scene.world.open_as("reader").commands("r-1") == []


async def test_an_abort_is_obeyed_while_a_step_is_refused_and_rests(scene: Scene) -> None:
    await scene.seconds(3)
    scene.cloud.refused[Routing.of({"1": 50, "2": 50})] = Refusal(429, "slow", "slow down")
    scene.cloud.asks_to_wait = timedelta(hours=1)
    await scene.seconds(40)
    assert len(scene.cloud.tries) == 1
    await scene.ask(Verb.ABORT)
    assert (await scene.seconds(1)).phase is Phase.ROLLED_BACK
    assert scene.cloud.routing == STABLE


async def test_a_way_back_tries_hardest_and_tells_that_it_is_refused(scene: Scene) -> None:
    await scene.seconds(3)
    scene.cloud.refused[STABLE] = Refusal(429, "slow", "slow down")
    scene.cloud.asks_to_wait = timedelta(hours=1)
    scene.world.source.bad_from = 1
    rollout = await scene.seconds(120)
    assert rollout.phase is Phase.PROGRESSING
    assert "worse than" in rollout.because
    assert "the cloud refuses the way back to version 1 at 100%: 429 slow: slow down" in rollout.because
    assert 3 <= len(scene.cloud.tries) <= 5
    assert (await scene.told()).count("refused") == 1
    scene.cloud.refused.clear()
    assert (await scene.seconds(60)).phase is Phase.ROLLED_BACK
    assert await scene.told() == ["created", "started", "refused", "rolled_back"]


async def test_an_abort_is_tried_at_once_while_a_way_back_rests(scene: Scene) -> None:
    await scene.seconds(3)
    scene.cloud.refused[STABLE], scene.world.source.bad_from = FORBIDDEN, 1
    await scene.seconds(60)
    tries = len(scene.cloud.tries)
    await scene.ask(Verb.ABORT)
    scene.cloud.refused.clear()
    assert (await scene.seconds(1)).phase is Phase.ROLLED_BACK
    assert len(scene.cloud.tries) == tries
    assert await scene.world.open_as("reader").commands("r-1") == []
