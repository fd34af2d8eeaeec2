"""The process dies before and after every touch of cloud and store; the history tells nothing of it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from foundry_rollouts.core.model.effects import SessionsOnRollback
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.store.store import SqlStore
from group_world import GroupWorld
from small_world import CallersSource, Deaths, SmallWorld, a_callers_policy, a_quick_policy

STORIES: dict[str, tuple[dict[str, Any], Phase]] = {
    "good": ({"bad_from": 101}, Phase.PROMOTED),
    "bad": ({"bad_from": 1}, Phase.ROLLED_BACK),
    "late-bad": ({"bad_from": 50}, Phase.ROLLED_BACK),
    "dead-at-100": ({"bad_from": 100, "watched_by": CallersSource, "policy": a_callers_policy()}, Phase.ROLLED_BACK),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("story", STORIES)
async def test_a_process_killed_at_any_touch_leaves_the_history_of_a_calm_run(
    open_store: Callable[[str], SqlStore], story: str
) -> None:
    but, ending = STORIES[story]
    open_once = cache(open_store)
    calm = SmallWorld(open_once, **but)
    await calm.begin()
    assert (await calm.run()).phase is ending
    told, sent = await calm.history(), calm.cloud.sent
    cases, events = 0, len(told)
    for touch in range(1, calm.deaths.touches + 1):
        for is_before in (True, False):
            deaths = Deaths(touch, is_before=is_before)
            world = SmallWorld(open_once, f"r-{touch}-{is_before}", **but, deaths=deaths)
            await world.begin()
            assert (await world.run()).phase is ending, (touch, is_before)
            assert await world.history() == told, (touch, is_before)
            assert world.cloud.routing == calm.cloud.routing
            assert len(world.cloud.sent) <= len(sent) + 1
            events += len(told)
            assert (await open_once("reader").backlog()).pending == events, "an event and its message go together"
            cases += 1
    print(f"{story}: {cases} crashes, each with the history of a calm run")  # noqa: T201 - the figure is asked for


@pytest.mark.timeout(600)
async def test_whoever_settles_a_rollback_stops_the_sessions_of_the_canary_too(
    open_store: Callable[[str], SqlStore],
) -> None:
    policy = a_quick_policy(sessions_on_rollback=SessionsOnRollback.STOP)
    open_once = cache(open_store)
    calm = SmallWorld(open_once, bad_from=1, policy=policy, waits_for_stops=True)
    await calm.begin()
    assert (await calm.run()).phase is Phase.ROLLED_BACK
    assert calm.cloud.stopped == ["session-2"]
    told = await calm.history()
    for touch in range(1, calm.deaths.touches + 1):
        for is_before in (True, False):
            deaths = Deaths(touch, is_before=is_before)
            world = SmallWorld(open_once, f"s-{touch}-{is_before}", bad_from=1, policy=policy, deaths=deaths)
            world.waits_for_stops = True
            await world.begin()
            assert (await world.run()).phase is Phase.ROLLED_BACK, (touch, is_before)
            assert set(world.cloud.stopped) == {"session-2"}, (touch, is_before)
            assert await world.history() == told, (touch, is_before)


@pytest.mark.timeout(600)
async def test_a_group_killed_after_any_change_is_back_together_with_the_history_of_a_calm_run(
    open_store: Callable[[str], SqlStore],
) -> None:
    open_once = cache(open_store)
    calm = GroupWorld(open_once, bad={"payment": 1})
    await calm.begin()
    ended = await calm.run()
    culprit, told = ended["payment"], await calm.history()
    for name in ("cart", "shipping"):
        assert ended[name].because == f"rolled back together with agent payment-g, version 2: {culprit.because}"
    for touch in calm.deaths.writing:
        world = GroupWorld(open_once, f"{touch}", {"payment": 1}, Deaths(touch, is_before=False))
        await world.begin()
        assert {each.phase for each in (await world.run()).values()} == {Phase.ROLLED_BACK}, touch
        assert await world.history() == told, touch
        assert set(world.weights().values()) == {0}
    print(f"group: {len(calm.deaths.writing)} crashes, each with the history of a calm run")  # noqa: T201
