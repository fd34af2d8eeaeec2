"""A freeze holds rollouts, those under way too, and lets them go back: with the real store, and killed anywhere."""

from dataclasses import replace
from datetime import timedelta

from builders import NOON
from foundry_rollouts.core.model.calendar import Calendar, Span
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.rollout import Phase
from small_world import TICK, Deaths, SmallWorld, a_quick_policy
from unit.controller.asking import ask, kinds, reach

DAY = timedelta(days=1)
FROZEN = a_quick_policy(calendar=Calendar(freezes=(Span(NOON, NOON + DAY, "year end"),)))


async def test_a_frozen_rollout_waits_and_goes_its_way_when_the_freeze_is_over(world: SmallWorld) -> None:
    world.policy = FROZEN
    await world.begin()
    held = await world.run(3)
    assert (held.phase, held.held_by, world.cloud.sent) == (Phase.PENDING, "freeze", [])
    assert held.waiting_for == "the freeze to end, at 2026-03-03 12:00 UTC"
    assert held.because.startswith("a freeze (year end) holds until 2026-03-03 12:00 UTC (policy support). Once")
    assert await kinds(world) == ["created", "held"]
    world.time = NOON + DAY
    assert (await world.run(20)).phase is Phase.PROMOTED
    assert await kinds(world) == ["created", "held", "started", "advanced", "advanced", "promoted"]


async def test_a_freeze_that_is_written_during_a_rollout_holds_it_and_lets_it_go_back(world: SmallWorld) -> None:
    await world.begin()
    await reach(world, 10)
    world.policy = FROZEN
    held = await world.run(4)
    assert (held.phase, held.step, held.held_by) == (Phase.PROGRESSING, 1, "freeze")
    await ask(world, Verb.ABORT)
    assert (await world.run(2)).phase is Phase.ROLLED_BACK
    assert world.cloud.routing.weight("2") == 0


async def test_harm_is_rolled_back_in_a_freeze_at_once(world: SmallWorld) -> None:
    await world.begin()
    await reach(world, 10)
    world.policy = FROZEN
    world.source.bad_from = 1
    before = world.time
    rollout = await world.run(5)
    assert rollout.phase is Phase.ROLLED_BACK
    assert rollout.ended_at == before + TICK


async def test_a_process_killed_anywhere_in_a_freeze_leaves_the_history_of_a_calm_one(world: SmallWorld) -> None:
    policy = replace(FROZEN, calendar=Calendar(freezes=(Span(NOON, NOON + 3 * TICK),)))
    calm = SmallWorld(world.open_as, policy=policy)
    await calm.begin()
    assert (await calm.run(20)).phase is Phase.PROMOTED
    told = [kind for kind, *_ in await calm.history()]
    assert "rollout.held" in told
    for touch in range(1, 16):
        dying = SmallWorld(world.open_as, f"k-{touch}", policy=policy, deaths=Deaths(touch))
        await dying.begin()
        assert (await dying.run(20)).phase is Phase.PROMOTED, touch
        kinds_told = [kind for kind, *_ in await dying.history()]
        assert kinds_told in (told, [kind for kind in told if kind != "rollout.held"]), touch
