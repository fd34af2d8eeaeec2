"""A stable version that is deleted before the trial begins, and a canary that is made again under its own number."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from builders import NOON
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import Record, VersionStatus
from small_world import SmallCloud, SmallWorld
from unit.controller.asking import kinds, reach

STABLE = Routing.of({"1": 100})
WAITS = (
    "stable version 1 was deleted before the trial began: version 2 can be compared with nothing. Route all traffic to"
    " the version that is to be the stable one (`agent route support-{id}`), or abort"
)


async def test_a_pending_rollout_whose_stable_version_is_deleted_waits_and_says_so_once(world: SmallWorld) -> None:
    world.cloud.status, world.cloud.active = VersionStatus.CREATING, {"1"}
    await world.begin()
    await world.run(1)
    world.cloud.deleted = "1"
    rollout = await world.run(1)
    assert rollout.because == "the cloud shows version 1 no more; read once more before it is believed"
    world.cloud.active = {"1", "2"}
    rollout = await world.run(5)
    assert (rollout.phase, rollout.waiting_for) == (Phase.PENDING, "a stable version")
    assert rollout.because == WAITS.format(id=world.id)
    assert world.cloud.sent == []
    assert (await kinds(world)).count("held") == 1


async def test_a_pending_rollout_goes_on_with_the_next_stable_version(world: SmallWorld) -> None:
    world.cloud.latest, world.cloud.deleted = "3", "1"
    await world.begin()
    rollout = await world.run(3)
    assert (rollout.phase, rollout.is_stable_gone) == (Phase.PENDING, True)
    store = world.open_as("discovery")
    lease = await store.claim(world.cloud.name, world.time)
    assert lease is not None
    world.cloud.routing = Routing.of({"3": 100})
    await store.record(lease, Record(stable="3"))
    await store.release(lease)
    rollout = await world.run(2)
    assert (rollout.phase, rollout.stable, rollout.is_stable_gone) == (Phase.PROGRESSING, "3", False)


async def test_a_pending_rollout_without_a_stable_version_can_be_aborted(world: SmallWorld) -> None:
    world.cloud.deleted = "1"
    await world.begin()
    rollout = await world.run(3)
    asked = Command("c-1", rollout.id, Verb.ABORT, rollout.generation, world.time, "kim", "so")
    await world.open_as("api").accept(asked)
    assert (await world.run(2)).phase is Phase.ABORTED
    assert world.cloud.sent == []


async def test_one_look_that_does_not_find_the_stable_version_keeps_no_trial(world: SmallWorld) -> None:
    world.cloud.deleted = "1"
    await world.begin()
    assert (await world.run(1)).phase is Phase.PENDING
    world.cloud.deleted = None
    assert (await world.run(1)).phase is Phase.PROGRESSING
    assert "held" not in await kinds(world)


def by_its_time(cloud: SmallCloud, which: int) -> None:
    cloud.created = {"1": NOON, "2": NOON + timedelta(hours=which)}


def by_its_code(cloud: SmallCloud, which: int) -> None:
    cloud.contents = {"2": f"hash-{which}"}


@pytest.mark.parametrize("told", [by_its_time, by_its_code])
@pytest.mark.parametrize("weight", [10, 50, 100])
async def test_a_canary_that_is_made_again_in_its_trial_ends_it_and_nothing_measured_counts(
    world: SmallWorld, told: Callable[[SmallCloud, int], None], weight: int
) -> None:
    world.cloud.marks = Marks(guid="g-1")
    told(world.cloud, 0)
    await world.begin()
    await reach(world, weight)
    before = await world.open_as("reader").evidence(world.id)
    told(world.cloud, 1)
    rollout = await world.run(1)
    assert (rollout.phase, rollout.weight) == (Phase.PROGRESSING, weight)
    assert rollout.because == (
        "the cloud shows the canary as it was at its start no more; read once more before it is believed"
    )
    after = await world.open_as("reader").evidence(world.id)
    assert [track.at_step.canary_calls for track in after.tracks] == [
        track.at_step.canary_calls for track in before.tracks
    ]
    rollout = await world.run(2)
    assert (rollout.phase, world.cloud.routing) == (Phase.FAILED, STABLE)
    assert rollout.because == (
        "version 2 was deleted and made again during its trial: it is another version, and what was measured says"
        " nothing of it; all new sessions go to version 1"
    )
    assert (await kinds(world))[-1] == "failed"


async def test_a_version_that_is_made_again_before_its_start_is_tried_as_it_is(world: SmallWorld) -> None:
    world.cloud.marks, world.cloud.status, world.cloud.active = Marks(guid="g-1"), VersionStatus.CREATING, {"1"}
    by_its_time(world.cloud, 0)
    await world.begin()
    await world.run(1)
    by_its_time(world.cloud, 1)
    world.cloud.status = VersionStatus.ACTIVE
    assert (await world.run(20)).phase is Phase.PROMOTED


async def test_a_time_that_one_answer_leaves_out_makes_no_other_canary(world: SmallWorld) -> None:
    world.cloud.marks = Marks(guid="g-1")
    by_its_time(world.cloud, 0)
    by_its_code(world.cloud, 0)
    await world.begin()
    await world.run(1)
    world.cloud.created, world.cloud.contents = {}, {}
    assert (await world.run(20)).phase is Phase.PROMOTED


def stable_by_its_time(cloud: SmallCloud, which: int) -> None:
    cloud.created = {"1": NOON + timedelta(hours=which), "2": NOON}


def stable_by_its_code(cloud: SmallCloud, which: int) -> None:
    cloud.contents = {"1": f"hash-{which}"}


@pytest.mark.parametrize("told", [stable_by_its_time, stable_by_its_code])
@pytest.mark.parametrize("weight", [10, 50, 100])
async def test_a_stable_version_that_is_made_again_is_no_baseline_and_nowhere_to_go_back_to(
    world: SmallWorld, told: Callable[[SmallCloud, int], None], weight: int
) -> None:
    world.cloud.marks = Marks(guid="g-1")
    told(world.cloud, 0)
    await world.begin()
    await reach(world, weight)
    routing = world.cloud.routing
    told(world.cloud, 1)
    rollout = await world.run(3)
    assert (rollout.phase, rollout.refuge, world.cloud.routing) == (Phase.PAUSED, None, routing)
    assert rollout.because.startswith("stable version 1 was deleted during the trial")


async def test_a_stable_version_that_is_made_again_before_the_start_is_the_baseline_as_it_is(world: SmallWorld) -> None:
    world.cloud.marks, world.cloud.status, world.cloud.active = Marks(guid="g-1"), VersionStatus.CREATING, {"1"}
    stable_by_its_code(world.cloud, 0)
    await world.begin()
    await world.run(1)
    stable_by_its_code(world.cloud, 1)
    world.cloud.status = VersionStatus.ACTIVE
    assert (await world.run(20)).phase is Phase.PROMOTED
