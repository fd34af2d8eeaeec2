"""An agent that was deleted and made again under its name is another agent."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON
from discovered import Discovered
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.operations.start import trial_of
from foundry_rollouts.ports import RolloutFilter
from small_world import KilledError, SmallWorld, a_quick_policy

OLD, NEW = Marks(guid="g-1", principal="p-1"), Marks(guid="g-2", principal="p-2")
#: What the cloud may tell of the two agents: everything, some of it, or nothing but when versions were created.
TOLD = {
    "guid and principal": (OLD, NEW),
    "principal": (Marks(principal="p-1"), Marks(principal="p-2")),
    "time": (Marks(created_at=NOON), Marks(created_at=NOON + timedelta(hours=1))),
    "times of versions": (Marks(), Marks()),
}


@pytest.fixture
async def town(world: SmallWorld) -> Discovered:
    """Return an agent whose version 1 is stable, pinned and known by its marks."""
    town = Discovered(world, a_quick_policy())
    world.cloud.marks, world.cloud.created = OLD, {"1": NOON, "2": NOON, "3": NOON}
    await town.discover()
    return town


def made_again(town: Discovered, marks: Marks = NEW, latest: str = "1") -> None:
    """Delete the agent and make it again."""
    cloud = town.world.cloud
    cloud.marks, cloud.latest, cloud.routing = marks, latest, Routing.of({LATEST: 100})
    cloud.created = {str(number): NOON + timedelta(hours=number) for number in range(1, 9)}
    cloud.sent.clear()


async def promoted(town: Discovered, version: str) -> None:
    await town.discover(version)
    await town.tick(12)
    assert (await town.known()).stable == version


@pytest.mark.parametrize("told", TOLD)
async def test_it_is_adopted_anew_and_pinned_and_its_next_version_is_tried(world: SmallWorld, told: str) -> None:
    old, new = TOLD[told]
    world.cloud.marks, world.cloud.created = old, {"1": NOON, "2": NOON}
    town = Discovered(world, a_quick_policy())
    await town.discover()
    await promoted(town, "2")
    made_again(town, new)
    await town.discover()
    known = await town.known()
    assert (known.stable, known.incarnation) == ("1", 2)
    assert world.cloud.routing == Routing.of({"1": 100})
    assert await town.told("agent.recreated") == [
        f"agent {town.agent} was deleted and made again: the new one is another agent, what is known"
        " (stable version 2) of the old one no longer holds"
    ]
    await town.discover("2")
    assert await town.rollouts() == [("2", Phase.PROMOTED), ("2", Phase.PENDING)]


async def test_one_with_the_same_version_numbers_and_the_same_routing_is_another_agent_too(town: Discovered) -> None:
    await promoted(town, "2")
    made_again(town, NEW, "2")
    town.world.cloud.routing = Routing.of({"2": 100})
    await town.discover()
    known = await town.known()
    assert (known.incarnation, known.stable) == (2, "2")
    reader = town.world.open_as("reader")
    assert await trial_of(reader, town.agent, "2") is None
    rollout = await town.start("1")
    assert not rollout.is_revert


async def test_it_is_seen_in_the_midst_of_a_rollout_which_ends_as_superseded(town: Discovered) -> None:
    await town.discover("2")
    await town.tick(2)
    assert town.world.cloud.routing.weight("2")
    made_again(town)
    await town.tick()
    (rollout,) = await town.world.open_as("reader").rollouts(RolloutFilter())
    assert rollout.phase is Phase.SUPERSEDED
    assert "was deleted and made again" in rollout.because
    assert town.world.cloud.sent == []
    await town.discover()
    assert town.world.cloud.routing == Routing.of({"1": 100})
    await town.discover("2")
    assert [phase for _, phase in await town.rollouts()] == [Phase.SUPERSEDED, Phase.PENDING]


async def test_an_open_intent_of_the_old_agent_is_dropped(town: Discovered) -> None:
    await town.discover("2")
    deaths = town.world.deaths
    while not await town.world.open_as("reader").intent(town.agent):
        deaths.at, deaths.is_before = deaths.touches + 1, False
        for skip in range(1, 40):
            deaths.at = deaths.touches + skip
            try:
                await town.tick()
            except KilledError:
                town.world.time += timedelta(minutes=1)
            if await town.world.open_as("reader").intent(town.agent):
                break
    deaths.at = None
    made_again(town, latest="2")
    town.world.time += timedelta(minutes=1)
    await town.tick()
    assert await town.world.open_as("reader").intent(town.agent) is None
    assert town.world.cloud.sent == []
    await town.discover()
    assert town.world.cloud.routing == Routing.of({"2": 100})


async def test_a_mark_that_one_answer_leaves_out_makes_no_other_agent(town: Discovered) -> None:
    await promoted(town, "2")
    for marks in (Marks(), Marks(principal="p-1"), Marks(guid="G-1", principal="p-7"), OLD):
        town.world.cloud.marks = marks
        await town.discover()
    assert (await town.known()).incarnation == 1
    assert await town.told("agent.recreated") == []


async def test_a_newest_version_that_is_deleted_makes_no_other_agent(world: SmallWorld) -> None:
    town = Discovered(world, a_quick_policy())
    await town.discover()
    await town.discover("2")
    await town.tick()
    world.cloud.deleted, world.source.bad_from = "3", 1
    await town.discover("3")
    await town.discover("2")
    known = await town.known()
    assert (known.incarnation, known.stable) == (1, "1")


async def test_nothing_is_known_of_an_agent_whose_marks_were_never_told_but_its_stable_version_is_missing(
    world: SmallWorld,
) -> None:
    town = Discovered(world, a_quick_policy())
    await town.discover()
    await promoted(town, "2")
    await promoted(town, "3")
    world.cloud.routing = Routing.of({LATEST: 100})
    await town.discover("1")
    known = await town.known()
    assert (known.incarnation, known.stable) == (2, "1")
    assert world.cloud.routing == Routing.of({"1": 100})


async def test_another_version_under_the_number_of_one_that_was_tried_is_new(town: Discovered) -> None:
    await town.discover("2")
    town.world.source.bad_from = 1
    await town.tick(4)
    assert await town.rollouts() == [("2", Phase.ROLLED_BACK)]
    town.world.cloud.created = {**town.world.cloud.created, "2": NOON + timedelta(hours=3)}
    await town.discover()
    await town.tick()
    assert [phase for _, phase in await town.rollouts()] == [Phase.ROLLED_BACK, Phase.PROGRESSING]
    assert (await town.known()).incarnation == 1


def test_marks_are_rewritten_by_what_is_told_only() -> None:
    assert OLD.completed(Marks()) == OLD
    assert Marks().completed(OLD) == OLD
    assert replace(OLD, principal="p-7") == OLD.completed(Marks(principal="p-7"))
