"""A change of ours that the cloud applies late is told from another hand by what was answered."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from builders import NOON, a_rollout, an_event
from fakes import FakePolicies
from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.rollout import MAY_ARRIVE_WITHIN, Phase, Rollout, UnconfirmedChange
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import Record
from foundry_rollouts.telemetry import Metrics
from small_world import LEASE, TICK, SmallCloud, SmallWorld, a_quick_policy

TEN, FIFTY = Routing.of({"1": 90, "2": 10}), Routing.of({"1": 50, "2": 50})


@dataclass
class VagueCloud(SmallCloud):
    """Applies what it is sent, and does not answer the changes that are ``unanswered``."""

    unanswered: tuple[Routing, ...] = ()
    is_retried: bool = False  #: The client asks again by itself, and is answered then.

    async def route(self, agent: str, routing: Routing) -> bool:
        await super().route(agent, routing)
        if routing not in self.unanswered:
            return True
        self.unanswered = tuple(each for each in self.unanswered if each != routing)
        if self.is_retried:
            return False
        raise CloudError("agents.route", Refusal(None, "timeout", "no answer"))


@pytest.fixture
def vague(world: SmallWorld) -> SmallWorld:
    return SmallWorld(world.open_as, cloud=VagueCloud())


def leaving_unanswered(world: SmallWorld, *routings: Routing, is_retried: bool = False) -> None:
    assert isinstance(world.cloud, VagueCloud)
    world.cloud.unanswered, world.cloud.is_retried = routings, is_retried


async def at_fifty(world: SmallWorld) -> None:
    """Go on until the canary has half of the new sessions."""
    await world.begin()
    for _ in range(6):
        if world.cloud.routing == FIFTY:
            break
        await world.run(1)
    assert (await stored(world)).step == 2


async def stored(world: SmallWorld) -> Rollout:
    return await world.open_as("reader").rollout(world.id)


async def last_words(world: SmallWorld) -> tuple[str, str]:
    kind, _, _, because = (await world.history())[-1]
    return kind.removeprefix("rollout."), because


@pytest.mark.parametrize("is_retried", [True, False])
async def test_an_unanswered_change_of_an_earlier_step_is_ours_and_the_plan_stands_again(
    vague: SmallWorld, is_retried: bool
) -> None:
    leaving_unanswered(vague, TEN, is_retried=is_retried)
    await at_fifty(vague)
    vague.cloud.routing = TEN
    rollout = await vague.run(1)
    assert (rollout.phase, rollout.step, vague.cloud.routing) == (Phase.PROGRESSING, 2, FIFTY)
    kind, because = await last_words(vague)
    assert kind == "restored"
    assert because == (
        f"a change of ours arrived late, sent at {rollout.unconfirmed_changes[0].sent_at:%H:%M:%S} and not answered:"
        " version 1 at 90%, version 2 at 10%. Back to the plan, version 1 at 50%, version 2 at 50%"
    )


async def test_where_every_change_was_answered_the_weights_of_an_earlier_step_are_another_hand(
    vague: SmallWorld,
) -> None:
    await at_fifty(vague)
    vague.cloud.routing = TEN
    assert (await vague.run(1)).phase is Phase.PAUSED
    assert vague.cloud.routing == TEN


async def test_other_weights_than_the_unanswered_ones_are_another_hand(vague: SmallWorld) -> None:
    leaving_unanswered(vague, TEN)
    await at_fifty(vague)
    vague.cloud.routing = Routing.of({"1": 80, "2": 20})
    assert (await vague.run(1)).phase is Phase.PAUSED


async def test_what_is_too_late_to_be_ours_is_another_hand(vague: SmallWorld) -> None:
    leaving_unanswered(vague, TEN)
    await at_fifty(vague)
    vague.time += timedelta(minutes=10)
    vague.cloud.routing = TEN
    assert (await vague.run(1)).phase is Phase.PAUSED


async def test_an_endpoint_that_a_person_closed_stays_closed_though_a_change_of_ours_arrives(vague: SmallWorld) -> None:
    leaving_unanswered(vague, TEN)
    await at_fifty(vague)
    vague.cloud.routing = replace(TEN, is_open=False)
    assert (await vague.run(1)).phase is Phase.PAUSED
    assert not vague.cloud.routing.is_open


async def test_harm_is_answered_before_a_late_change(vague: SmallWorld) -> None:
    leaving_unanswered(vague, TEN)
    await at_fifty(vague)
    vague.cloud.routing, vague.source.bad_from = TEN, 1
    assert (await vague.run(1)).phase is Phase.ROLLED_BACK
    assert vague.cloud.routing == Routing.of({"1": 100})


async def test_a_step_that_is_forgotten_for_its_age_is_remembered_as_sent(vague: SmallWorld) -> None:
    leaving_unanswered(vague, TEN)
    await vague.begin()
    await vague.run(1)
    vague.time += timedelta(minutes=5)
    vague.cloud.routing = Routing.of({"1": 100})
    rollout = await vague.run(1)
    assert [change.weights for change in rollout.unconfirmed_changes] == [TEN.weights]


async def discover(world: SmallWorld, on_drift: OnDrift = OnDrift.PAUSE) -> None:
    store, ticker = world.ticker()
    policies = FakePolicies((a_quick_policy(on_drift=on_drift),))
    world.time += LEASE
    pool = LeasePool(store)
    await Discovery(
        replace(ticker.world, policies=policies), Metrics("test"), pool, world.now, lambda _: "newer"
    ).discover()
    await pool.release_all(world.time)


async def rolled_back(world: SmallWorld) -> None:
    """Give half of the sessions to a canary that fails there, with the step before unanswered."""
    world.policy, world.source.bad_from = a_quick_policy(), 50
    leaving_unanswered(world, FIFTY)
    await world.begin()
    lease = await world.open_as("known").claim(world.cloud.name, world.time)
    assert lease is not None
    await world.open_as("known").record(lease, Record(stable="1", newest="2"))
    await world.open_as("known").release(lease)
    assert (await world.run()).phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("minutes", [1, 9, 50])
async def test_an_unanswered_change_is_taken_back_after_the_rollback_for_an_hour(
    vague: SmallWorld, minutes: int
) -> None:
    await rolled_back(vague)
    vague.time += timedelta(minutes=minutes)
    vague.cloud.routing = FIFTY
    await discover(vague)
    assert vague.cloud.routing == Routing.of({"1": 100})


async def test_what_is_older_than_that_is_another_hand(vague: SmallWorld) -> None:
    await rolled_back(vague)
    vague.time += MAY_ARRIVE_WITHIN
    vague.cloud.routing = FIFTY
    await discover(vague)
    assert vague.cloud.routing == FIFTY


async def test_a_late_change_of_the_last_rollout_is_known_though_the_next_one_waits(vague: SmallWorld) -> None:
    await rolled_back(vague)
    vague.time += timedelta(minutes=20)
    vague.cloud.latest = "3"
    newer = a_rollout(id="newer", agent=vague.cloud.name, canary="3", policy=vague.policy, created_at=vague.time)
    await vague.open_as("api").create(newer, an_event(id="newer:1", agent=newer.agent, rollout="newer"), None)
    vague.cloud.routing = FIFTY
    await discover(vague)
    assert vague.cloud.routing == Routing.of({"1": 100})


async def test_a_late_change_of_the_last_rollout_is_known_in_the_midst_of_the_next_one(vague: SmallWorld) -> None:
    await rolled_back(vague)
    vague.cloud.latest = "3"
    newer = a_rollout(id="newer", agent=vague.cloud.name, canary="3", policy=vague.policy, created_at=vague.time)
    await vague.open_as("api").create(newer, an_event(id="newer:1", agent=newer.agent, rollout="newer"), None)
    vague.id, vague.source.bad_from = "newer", 101
    await vague.run(1)
    assert vague.cloud.routing == Routing.of({"1": 90, "3": 10})
    vague.cloud.routing = FIFTY
    assert (await vague.run(1)).phase is Phase.PROGRESSING
    assert vague.cloud.routing == Routing.of({"1": 90, "3": 10})
    assert (await last_words(vague))[0] == "restored"


async def the_next_begins(world: SmallWorld, canary: str) -> None:
    """Let a rollout of ``canary`` take its first step."""
    world.cloud.latest, world.id, world.source.bad_from = "3", "newer", 101
    newer = replace(
        a_rollout(id="newer", agent=world.cloud.name, canary=canary, policy=world.policy),
        created_at=world.time,
        author="kim",
    )
    await world.open_as("api").create(newer, an_event(id="newer:1", agent=newer.agent, rollout="newer"), None)
    await world.run(1)
    assert world.cloud.routing == Routing.of({"1": 90, canary: 10})


async def test_a_person_who_goes_back_to_stable_is_not_taken_for_a_rollback_that_was_not_answered(
    vague: SmallWorld,
) -> None:
    stable = Routing.of({"1": 100})
    vague.source.bad_from = 50
    await at_fifty(vague)
    leaving_unanswered(vague, stable)
    assert (await vague.run()).unconfirmed_changes[-1].weights == stable.weights
    await the_next_begins(vague, "3")
    vague.cloud.routing = stable
    assert (await vague.run(1)).phase is Phase.PAUSED
    assert vague.cloud.routing == stable
    assert (await last_words(vague))[0] == "paused"


async def test_a_person_who_goes_back_from_what_was_promoted_is_not_taken_for_the_rollback_of_its_first_try(
    vague: SmallWorld,
) -> None:
    stable = Routing.of({"1": 100})
    vague.source.bad_from = 50
    await at_fifty(vague)
    leaving_unanswered(vague, stable)
    assert (await vague.run()).unconfirmed_changes[-1].weights == stable.weights
    await the_next_begins(vague, "2")
    assert (await vague.run()).phase is Phase.PROMOTED
    vague.time += timedelta(minutes=20)
    vague.cloud.routing = stable
    await discover(vague)
    assert vague.cloud.routing == stable


async def test_a_person_who_goes_back_from_what_was_just_promoted_is_not_taken_for_the_cloud(
    vague: SmallWorld,
) -> None:
    await vague.begin()
    assert (await vague.run()).phase is Phase.PROMOTED
    vague.cloud.routing = Routing.of({"1": 100})
    await discover(vague)
    assert vague.cloud.routing == Routing.of({"1": 100})
    vague.cloud.routing = FIFTY
    await discover(vague)
    assert vague.cloud.routing == Routing.of({"2": 100})


def test_what_can_arrive_no_more_is_forgotten() -> None:
    old, new = UnconfirmedChange(TEN.weights, NOON), UnconfirmedChange(FIFTY.weights, NOON + MAY_ARRIVE_WITHIN)
    assert a_rollout().with_unconfirmed(old).with_unconfirmed(new).unconfirmed_changes == (new,)
    assert a_rollout().with_unconfirmed(old).with_unconfirmed(replace(new, sent_at=NOON)).unconfirmed_changes[0] == old


async def test_a_step_forward_that_arrives_after_a_rollback_without_a_database_is_not_recorded_over_it(
    vague: SmallWorld,
) -> None:
    await vague.begin()
    store, ticker = vague.ticker()
    vague.time += TICK
    (lease,) = await store.claim_due(vague.time, 10)
    await ticker.tick(lease)
    leaving_unanswered(vague, FIFTY)
    for _ in range(2):
        vague.time += TICK / 2
        with suppress(CloudError):
            await ticker.tick(lease)
    assert await store.intent(vague.cloud.name) is not None
    vague.source.bad_from = 1
    await ticker.offline.check_offline(lease)
    await ticker.offline.flush()
    assert (await stored(vague)).phase is Phase.ROLLED_BACK
    vague.cloud.routing, vague.source.bad_from = FIFTY, 101
    await ticker.tick(lease)
    rollout = await stored(vague)
    assert rollout.phase is Phase.ROLLED_BACK
    assert FIFTY.weights in [change.weights for change in rollout.unconfirmed_changes]
    assert await store.intent(vague.cloud.name) is None
    assert [kind for kind, *_ in await vague.history()][-2:] == ["rollout.started", "rollout.rolled_back"]
