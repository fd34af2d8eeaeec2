"""Under ``mode: observe`` everything is judged and nothing is moved; the history says what would have been done."""

from dataclasses import dataclass, replace

import pytest

from discovered import Discovered
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.effects import Mode, SessionsOnRollback
from foundry_rollouts.core.model.measurement import Measurement, Window
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.ports import VersionStatus
from small_world import SmallCloud, SmallSource, SmallWorld, a_quick_policy
from unit.controller.asking import ask, kinds

OBSERVE = a_quick_policy(mode=Mode.OBSERVE)


@dataclass
class PlannedSource(SmallSource):
    """The same counts whether or not anything is moved: the canary fails from some weight of the plan on."""

    async def measure(self, rollout: Rollout, window: Window) -> list[Measurement]:
        cloud = SmallCloud(routing=Routing.of({"2": rollout.weight, "1": 100 - rollout.weight}))
        return list(await SmallSource(cloud, self.bad_from).measure(rollout, window))


def watch(world: SmallWorld, bad_from: int) -> None:
    world.watched_by, world.bad_from = PlannedSource, bad_from
    world.source = PlannedSource(world.cloud, bad_from)


async def timed(world: SmallWorld) -> list[tuple[str, str]]:
    """Return each event of the rollout with its time, what was only observed by the name it has when it is done."""
    events = await world.open_as("reader").history(world.id)
    return [(event.at.isoformat(), event.kind.replace("would_have_", "")) for event in events]


@pytest.mark.parametrize(
    ("bad_from", "would_have"), [(101, Phase.PROMOTED), (1, Phase.ROLLED_BACK), (50, Phase.ROLLED_BACK)]
)
async def test_what_would_have_been_done_is_what_is_done_at_the_same_instant_on_the_same_evidence(
    world: SmallWorld, bad_from: int, would_have: Phase
) -> None:
    acting = SmallWorld(world.open_as, "r-act", cloud=SmallCloud(name="acting"))
    world.policy = OBSERVE
    said = []
    for each in (acting, world):
        watch(each, bad_from)
        await each.begin()
        rollout = await each.run(20)
        evidence = await each.open_as("reader").evidence(each.id)
        said.append((await timed(each), evidence, rollout.step, rollout.verdict))
    assert said[0] == said[1]
    assert (rollout.phase, rollout.would_have) == (Phase.OBSERVED, would_have)
    assert (acting.cloud.sent != [], world.cloud.sent) == (True, [])
    assert all(event[2] in (None, {"1": 100}) for event in await world.history())


async def test_the_history_says_what_would_have_been_done_and_that_nothing_was(world: SmallWorld) -> None:
    world.policy = replace(OBSERVE, sessions_on_rollback=SessionsOnRollback.STOP)
    watch(world, 1)
    await world.begin()
    rollout = await world.run(20)
    assert await kinds(world) == ["created", "would_have_started", "would_have_rolled_back"]
    assert rollout.because.startswith("would have been rolled back, and nothing was moved (mode: observe): ")
    assert (world.cloud.sent, world.cloud.stopped) == ([], [])
    known = await world.open_as("reader").agent(world.cloud.name)
    assert known is not None
    assert known.stable != "2"


async def test_weights_of_another_hand_are_no_drift(world: SmallWorld) -> None:
    world.policy = OBSERVE
    watch(world, 101)
    await world.begin()
    for weights in ({LATEST: 100}, {"1": 30, "2": 70}, {"7": 100}, {"2": 100}):
        world.cloud.routing = Routing.of(weights)
        await world.run(1)
    rollout = await world.run(20)
    assert rollout.would_have is Phase.PROMOTED
    assert (world.cloud.sent, world.cloud.routing) == ([], Routing.of({"2": 100}))
    assert "paused" not in await kinds(world)


async def test_a_closed_endpoint_stays_closed_and_what_is_asked_moves_nothing(world: SmallWorld) -> None:
    world.policy = OBSERVE
    watch(world, 101)
    await world.begin()
    await world.run(2)
    world.cloud.routing = replace(world.cloud.routing, is_open=False)
    await ask(world, Verb.PROMOTE)
    await ask(world, Verb.ABORT)
    rollout = await world.run(3)
    assert (rollout.phase, rollout.would_have) == (Phase.OBSERVED, Phase.ROLLED_BACK)
    assert (world.cloud.sent, world.cloud.routing.is_open) == ([], False)


async def test_an_endpoint_is_not_pinned_and_a_newer_version_takes_the_place_of_the_one_observed(
    world: SmallWorld,
) -> None:
    world.policy = OBSERVE
    found = Discovered(world, OBSERVE)
    await found.discover()
    known = await world.open_as("reader").agent(found.agent)
    assert known is not None
    assert (known.stable, world.cloud.sent, world.cloud.routing) == ("1", [], Routing.of({LATEST: 100}))
    await found.discover("2")
    await found.tick(2)
    await found.discover("3")
    await found.tick(3)
    assert await found.rollouts() == [("2", Phase.SUPERSEDED), ("3", Phase.PROGRESSING)]
    assert world.cloud.sent == []


async def test_the_version_that_users_have_is_the_stable_one_unless_it_would_have_been_rolled_back(
    world: SmallWorld,
) -> None:
    world.policy = OBSERVE
    found = Discovered(world, OBSERVE)
    await found.discover()
    world.cloud.routing = Routing.of({"2": 100})
    await found.discover("2")
    known = await world.open_as("reader").agent(found.agent)
    assert known is not None
    assert known.stable == "2"
    assert world.cloud.sent == []


async def test_a_policy_that_acts_by_now_begins_again_from_the_first_step(world: SmallWorld) -> None:
    world.policy = OBSERVE
    found = Discovered(world, OBSERVE)
    await found.discover()
    watch(world, 101)
    await found.discover("2")
    await found.tick(2)
    assert world.cloud.sent == []
    world.policy = found.policy = a_quick_policy()
    await found.tick()
    await found.discover()
    assert world.cloud.sent == [Routing.of({"1": 100})], "pinned, as any endpoint"
    await found.tick(30)
    weights = [routing.weight("2") for routing in world.cloud.sent]
    assert weights == [0, 10, 50, 100]


async def test_a_version_that_is_never_built_fails_as_it_does_everywhere(world: SmallWorld) -> None:
    world.policy = OBSERVE
    world.cloud.status = VersionStatus.FAILED
    await world.begin()
    assert (await world.run(3)).phase is Phase.FAILED
    assert world.cloud.sent == []
