"""Another controller sets the routing otherwise each time that it was brought back between rollouts."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from fakes import FakePolicies
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.tables import events
from foundry_rollouts.telemetry import Metrics
from small_world import SmallCloud, SmallWorld, a_quick_policy

ONE, TWO = Routing.of({"1": 100}), Routing.of({"2": 100})


@dataclass
class RefusingCloud(SmallCloud):
    refusal: Refusal | None = None
    tries: int = 0

    async def route(self, agent: str, routing: Routing) -> bool:
        self.tries += 1
        if self.refusal:
            raise CloudError("agents.route", self.refusal)
        return await super().route(agent, routing)


@dataclass
class Scene:
    """A daemon that discovers and sweeps every second, and the other hand."""

    world: SmallWorld
    discovery: Discovery = field(init=False)

    def __post_init__(self) -> None:
        self.store, self.ticker = self.world.ticker()
        policies = FakePolicies((a_quick_policy(on_drift=OnDrift.RESTORE),))
        parts = replace(self.ticker.world, policies=policies)
        self.discovery = Discovery(parts, Metrics("test"), LeasePool(parts.store), self.world.now, lambda _: "new")

    async def seconds(self, many: int, other: Routing | None = None) -> int:
        """Let time pass, and return how often the routing was brought back."""
        before = len(self.world.cloud.sent)
        for _ in range(many):
            self.world.time += timedelta(seconds=1)
            self.world.cloud.routing = other or self.world.cloud.routing
            await self.discovery.discover()
            for lease in await self.store.claim_due(self.world.time, 10):
                await self.ticker.tick(lease)
        return len(self.world.cloud.sent) - before

    async def told(self, kind: str) -> list[str]:
        reader: SqlStore = self.world.open_as("reader")  # type: ignore[assignment]
        async with reader._database.reading() as connection:
            rows = await connection.execute(select(events.c.because).where(events.c.kind == kind))
            return [row.because for row in rows]


@pytest.fixture
async def scene(world: SmallWorld) -> Scene:
    world.cloud = RefusingCloud(routing=Routing.of({"1": 100}), latest="1")
    scene = Scene(world)
    await scene.seconds(1)
    return scene


async def test_the_routing_is_restored_ever_more_rarely_and_that_is_told_once(scene: Scene) -> None:
    assert await scene.seconds(60, Routing.of({"1": 40, "7": 60})) == 3
    (because,) = await scene.told("agent.pinned")
    assert because.endswith(
        "restored. If it is changed again, two controllers set this routing: stop the other one, or set on-drift: pause"
    )


async def test_reminders_come_after_a_quarter_of_an_hour_and_an_hour(scene: Scene) -> None:
    scene.world.cloud.routing = Routing.of({"7": 100})
    for _ in range(70):
        scene.world.time += timedelta(seconds=59)
        await scene.seconds(1, Routing.of({"1": 40, "7": 60}))
    told = await scene.told("agent.pinned")
    assert len(told) == 3
    assert "two controllers set this routing" in told[1].lower()


async def test_nothing_untested_meets_everybody_while_two_hands_are_on_the_wheel(scene: Scene) -> None:
    """An endpoint that follows the latest version is pinned at each look; it is told once all the same."""
    assert await scene.seconds(20, Routing.of({LATEST: 100})) == 20
    assert len(await scene.told("agent.pinned")) == 1


async def test_a_pin_that_the_cloud_refuses_is_told_once_and_tried_again_after_pauses(scene: Scene) -> None:
    cloud = scene.world.cloud
    assert isinstance(cloud, RefusingCloud)
    cloud.refusal, cloud.tries = Refusal(403, "forbidden", "no right"), 0
    cloud.routing = Routing.of({LATEST: 100})
    await scene.seconds(60)
    assert 4 <= cloud.tries <= 7
    (because,) = await scene.told("agent.refused")
    assert because.startswith("the cloud refuses the way back to version 1 at 100%: 403 forbidden: no right")
    text = scene.discovery.metrics.render()[0].decode()
    assert 'foundry_rollouts_refused_changes_total{agent="support-agent",change="pin"} 1.0' in text
    cloud.refusal = None
    await scene.seconds(31)
    assert cloud.routing == ONE
