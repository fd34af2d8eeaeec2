"""A step forward that the cloud does not take keeps nobody from going back."""

from dataclasses import dataclass, field, replace

import pytest

from builders import NOON
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import Lease
from foundry_rollouts.ports.priority import Priority, present_priority
from small_world import TICK, SmallCloud, SmallWorld

STABLE, TEN, FIFTY = Routing.of({"1": 100}), Routing.of({"1": 90, "2": 10}), Routing.of({"1": 50, "2": 50})


@dataclass
class RefusingCloud(SmallCloud):
    """Does not take one routing: refuses it, or says yes and leaves things as they are."""

    refused: Routing | None = None
    says_yes: bool = False
    tries: list[Priority] = field(default_factory=list)

    async def route(self, agent: str, routing: Routing) -> bool:
        if routing != self.refused:
            return await super().route(agent, routing)
        self.tries.append(present_priority())
        if self.says_yes:
            return True
        raise CloudError("agents.route", Refusal(429, "rate_limit_exceeded", "slow down"))


@dataclass
class Refused:
    """A canary at a tenth whose step to a half the cloud did not take."""

    world: SmallWorld
    ticker: Ticker
    lease: Lease

    @property
    def cloud(self) -> RefusingCloud:
        assert isinstance(self.world.cloud, RefusingCloud)
        return self.world.cloud

    async def tick(self) -> Rollout:
        """Tick once, a few seconds later; a step that is refused again is no news."""
        self.world.time += TICK / 5
        (self.lease,) = await self.ticker.world.store.renew([self.lease], self.world.time)
        try:
            await self.ticker.tick(self.lease)
        except CloudError as error:
            assert error.refusal.status == 429  # noqa: PT017 - anything else is a fault
        return await self.stored()

    async def stored(self) -> Rollout:
        return await self.world.open_as("reader").rollout(self.world.id)


@pytest.fixture
async def refused(world: SmallWorld) -> Refused:
    world = SmallWorld(world.open_as, cloud=RefusingCloud(refused=FIFTY))
    await world.begin()
    store, ticker = world.ticker()
    world.time += TICK
    (lease,) = await store.claim_due(world.time, 10)
    await ticker.tick(lease)
    found = Refused(world, ticker, lease)
    world.time += TICK
    for _ in range(3):
        if not found.cloud.tries:
            await found.tick()
    assert found.cloud.tries == [Priority.USUAL]
    assert await store.intent(world.cloud.name) is not None
    return found


async def test_a_canary_that_fails_while_its_next_step_is_refused_goes_back_at_the_next_tick(refused: Refused) -> None:
    refused.world.source.bad_from = 1
    assert (await refused.tick()).phase is Phase.ROLLED_BACK
    assert refused.cloud.routing == STABLE
    assert refused.cloud.tries == [Priority.USUAL]


async def test_an_abort_is_obeyed_while_the_next_step_is_refused(refused: Refused) -> None:
    rollout = await refused.stored()
    abort = Command("c-1", rollout.id, Verb.ABORT, rollout.generation, NOON, "kim", "so")
    await refused.world.open_as("api").accept(abort)
    assert (await refused.tick()).phase is Phase.ROLLED_BACK
    assert refused.cloud.routing == STABLE


async def test_a_step_that_is_never_confirmed_does_not_keep_harm_waiting_either(refused: Refused) -> None:
    world = replace(refused.ticker.world, confirm_within=TICK * 0)
    refused.ticker = replace(refused.ticker, world=world)
    refused.cloud.says_yes, refused.world.source.bad_from = True, 1
    assert (await refused.tick()).phase is Phase.ROLLED_BACK
    assert refused.cloud.routing == STABLE


async def test_a_retreat_that_the_cloud_does_not_take_is_sent_again_until_it_does(refused: Refused) -> None:
    refused.cloud.refused, refused.world.source.bad_from = STABLE, 1
    for _ in range(4):
        assert (await refused.tick()).phase is Phase.PROGRESSING
        assert await refused.world.open_as("reader").intent(refused.cloud.name) is not None
    refused.cloud.refused = None
    assert (await refused.tick()).phase is Phase.ROLLED_BACK


async def test_a_step_that_was_refused_for_a_while_is_taken_later_with_the_history_of_a_calm_run(
    refused: Refused,
) -> None:
    for _ in range(3):
        assert (await refused.tick()).step == 1
    refused.cloud.refused = None
    for _ in range(10):
        refused.world.time += TICK
        if (await refused.tick()).phase.is_final:
            break
    told = [kind.removeprefix("rollout.") for kind, *_ in await refused.world.history()]
    assert told == ["created", "started", "refused", "advanced", "advanced", "promoted"]


async def test_a_step_that_was_refused_and_arrives_after_all_is_known_as_ours(refused: Refused) -> None:
    refused.world.source.bad_from = 1
    sent_at = refused.world.time
    rollout = await refused.tick()
    (sent,) = [change for change in rollout.unconfirmed_changes if change.weights == FIFTY.weights]
    assert sent.sent_at == sent_at
