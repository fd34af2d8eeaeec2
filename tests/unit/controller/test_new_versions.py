"""New versions: which of them are tried, which are told, and that a version that had its trial stays tried."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON
from discovered import Discovered
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.new_versions import NewVersions
from foundry_rollouts.core.model.policy import Trigger
from foundry_rollouts.core.model.rollout import READS_APART, Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import Record, RolloutFilter, VersionStatus
from foundry_rollouts.store.store import SqlStore
from small_world import SmallWorld, a_quick_policy


@pytest.fixture
async def town(world: SmallWorld) -> Discovered:
    """Return an agent whose version 1 is stable and pinned."""
    town = Discovered(world, a_quick_policy())
    await town.discover()
    return town


async def aborted(town: Discovered, version: str) -> None:
    """Let a pipeline start ``version`` before discovery sees it, and a person abort it."""
    town.world.cloud.latest = version
    rollout = await town.start(version)
    await town.tick()
    store = town.world.open_as("api")
    rollout = await store.rollout(rollout.id)
    await store.accept(Command("c-1", rollout.id, Verb.ABORT, rollout.generation, town.world.time, "kim"))
    await town.tick()


async def test_a_version_that_was_aborted_before_discovery_saw_it_is_not_started_again(town: Discovered) -> None:
    await aborted(town, "2")
    await town.discover()
    await town.tick(3)
    assert await town.rollouts() == [("2", Phase.ROLLED_BACK)]
    assert town.world.cloud.routing == Routing.of({"1": 100})
    assert (await town.known()).newest == "2"


async def test_a_version_that_was_tried_stays_tried_when_a_newer_one_lay_between_or_is_deleted(
    town: Discovered,
) -> None:
    await aborted(town, "3")
    assert (await town.known()).newest == "1"
    await town.discover()
    assert await town.rollouts() == [("3", Phase.ROLLED_BACK)]
    assert await town.told("agent.versions_found") == [
        "versions 2 and 3 are new; version 2 is skipped, version 3 has had rollout asked-1, which is rolled_back"
        " (policy support, new-versions: newest)"
    ]
    await town.discover("4")
    town.world.cloud.deleted = "4"
    await town.discover("3")
    await town.tick(2)
    await town.discover()
    assert [version for version, _ in await town.rollouts()] == ["3", "4"]


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.SUPERSEDED, Phase.FAILED, Phase.DISABLED, Phase.PROMOTED])
async def test_a_rollout_that_nobody_asked_for_never_starts_when_its_version_had_a_trial(
    town: Discovered, phase: Phase
) -> None:
    await town.discover("2")
    store = town.world.open_as("api")
    (ours,) = await store.unfinished(town.agent)
    lease = await store.claim(town.agent, town.world.time)
    assert lease is not None
    earlier = replace(ours, id="earlier", phase=phase, created_at=NOON - timedelta(hours=1), ended_at=NOON)
    await store.record(lease, Record(rollout=earlier))
    await store.release(lease)
    await town.tick(2)
    ended = await store.rollout(ours.id)
    assert (ended.phase, ended.step) == (Phase.SUPERSEDED, 0)
    assert ended.because == (
        f"version 2 was tried before: rollout earlier, which is {phase}. Only a person tries it again:"
        f" `rollout start --agent {town.agent} --version 2`"
    )
    assert town.world.cloud.routing == Routing.of({"1": 100})
    assert (await town.known()).stable == "1"


async def test_a_person_may_try_a_version_again(town: Discovered) -> None:
    await aborted(town, "2")
    await town.start("2", "kim")
    await town.tick()
    assert town.world.cloud.routing == Routing.of({"1": 90, "2": 10})


async def test_a_pipeline_that_starts_a_version_while_discovery_is_at_it_is_joined(
    town: Discovered, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, is_asked = SqlStore.rollouts, False

    async def rollouts(store: SqlStore, which: RolloutFilter) -> Sequence[Rollout]:
        nonlocal is_asked
        found = await read(store, which)
        if which.canary == "2" and not is_asked:
            is_asked = True
            await town.start("2")
        return found

    monkeypatch.setattr(SqlStore, "rollouts", rollouts)
    await town.discover("2")
    assert await town.rollouts() == [("2", Phase.PENDING)]
    known = await town.known()
    assert (known.newest, known.latest) == ("2", "2")


async def test_of_several_new_versions_the_newest_is_tried_and_all_are_told(town: Discovered) -> None:
    await town.discover("4")
    await town.discover()
    assert await town.rollouts() == [("4", Phase.PENDING)]
    assert await town.told("agent.versions_found") == [
        "versions 2, 3 and 4 are new; version 4 is tried, version 2 is skipped, version 3 is skipped"
        " (policy support, new-versions: newest)"
    ]


async def test_each_of_several_new_versions_is_tried_in_turn_where_the_policy_says_so(town: Discovered) -> None:
    town.policy = a_quick_policy(new_versions=NewVersions.EACH)
    town.world.cloud.failed = {"3"}
    await town.discover("4")
    await town.discover()
    assert await town.rollouts() == [("2", Phase.PENDING), ("4", Phase.PENDING)]
    assert await town.told("agent.versions_found") == [
        "versions 2, 3 and 4 are new; versions 2 and 4 are tried in turn, the build of version 3 failed"
        " (policy support, new-versions: each)"
    ]


async def test_where_the_build_of_the_newest_version_failed_the_next_older_one_is_tried(town: Discovered) -> None:
    town.world.cloud.failed = {"3"}
    await town.discover("3")
    await town.discover()
    assert await town.rollouts() == [("2", Phase.PENDING)]


async def test_where_the_build_of_the_newest_version_fails_later_the_next_older_one_is_tried(town: Discovered) -> None:
    town.world.cloud.status, town.world.cloud.active = VersionStatus.CREATING, {"1", "2"}
    await town.discover("3")
    await town.discover()
    assert await town.rollouts() == [("3", Phase.PENDING)]
    town.world.cloud.failed = {"3"}
    await town.tick()
    assert await town.rollouts() == [("3", Phase.PENDING)]  # One read may be a flicker.
    town.world.time += READS_APART
    await town.tick()
    await town.discover()
    await town.discover()
    assert await town.rollouts() == [("3", Phase.FAILED), ("2", Phase.PENDING)]


async def test_a_manual_policy_tries_none_of_several_new_versions_and_tells_them(town: Discovered) -> None:
    town.policy = a_quick_policy(trigger=Trigger.MANUAL)
    await town.discover("3")
    await town.discover()
    assert await town.rollouts() == []
    assert await town.told("agent.versions_found") == [
        "versions 2 and 3 are new; policy support starts none of them (trigger: manual)"
    ]
