"""Rollouts that wait for those of other agents, with the real ticker and the real store."""

from dataclasses import replace

import pytest

from builders import NOON
from fleet_world import FleetWorld
from foundry_rollouts.controller.record import record_of_rollout
from foundry_rollouts.core.model.acknowledgement import Acknowledgement, event_of
from foundry_rollouts.core.model.calendar import Calendar, Span
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.effects import Mode
from foundry_rollouts.core.model.group import Group
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.rollout import Phase
from small_world import TICK, Deaths, SmallWorld, a_quick_policy

ONE = Limits(project=1)
ALL = a_quick_policy(name="all", agents=("*",), labels=("payments",))


@pytest.fixture
def fleet(world: SmallWorld) -> FleetWorld:
    return FleetWorld(world.open_as, (ALL,))


async def test_rollouts_go_one_after_the_other_where_one_place_is_there(fleet: FleetWorld) -> None:
    fleet.limits = ONE
    await fleet.make("a", "b", "c")
    for number, agent in enumerate(("c", "a", "b")):
        await fleet.begin(agent, after=number)
    await fleet.run(2)
    assert (await fleet.rollout("c")).step > 0
    waiting = await fleet.rollout("b")
    assert (waiting.phase, waiting.held_by, waiting.waiting_for) == (Phase.PENDING, "queue", "a place of the project")
    assert waiting.because.startswith(
        "2nd of 2 in the queue of the project: 1 of 1 rollout is under way (c). Once that is over: version 2 is active"
    )
    await fleet.run(30)
    ended = [await fleet.rollout(agent) for agent in ("c", "a", "b")]
    assert [each.phase for each in ended] == [Phase.PROMOTED] * 3
    assert [each.ended_at for each in ended] == sorted(each.ended_at or NOON for each in ended)
    assert fleet.clouds.most == 1
    assert await fleet.kinds("b") == ["created", "held", "started", "advanced", "advanced", "promoted"]


async def test_a_place_is_free_when_a_bad_version_is_rolled_back_and_a_full_queue_holds_no_rollback(
    fleet: FleetWorld,
) -> None:
    fleet.limits = Limits(labels=(("payments", 1),))
    await fleet.make("a", "b")
    await fleet.begin("a")
    await fleet.begin("b", after=1)
    await fleet.run(2)
    assert (await fleet.rollout("b")).held_by == "queue"
    fleet.source.bad.add("a")
    await fleet.run(8)
    assert (await fleet.rollout("a")).phase is Phase.ROLLED_BACK
    assert (await fleet.rollout("b")).step > 0


async def test_a_paused_rollout_keeps_its_place_and_is_named(fleet: FleetWorld) -> None:
    fleet.limits = ONE
    await fleet.make("a", "b")
    await fleet.begin("a")
    await fleet.begin("b", after=1)
    await fleet.run(2)
    store = fleet.open_as("api")
    first = await fleet.rollout("a")
    await store.accept(Command("c-1", first.id, Verb.PAUSE, first.generation, fleet.time, "kim", "kim"))
    await fleet.run(4)
    assert "(a, which is paused)" in (await fleet.rollout("b")).because
    first = await fleet.rollout("a")
    await store.accept(Command("c-2", first.id, Verb.ABORT, first.generation, fleet.time, "kim", "kim"))
    await fleet.run(3)
    assert [(await fleet.rollout(agent)).phase for agent in "ab"] == [Phase.ROLLED_BACK, Phase.PROGRESSING]


async def test_a_return_to_the_version_before_takes_no_turn(fleet: FleetWorld) -> None:
    """It starts though the only place is taken, and counts as under way."""
    fleet.limits = ONE
    await fleet.make("a", "b")
    await fleet.begin("a")
    await fleet.run(20)
    assert (await fleet.rollout("a")).phase is Phase.PROMOTED
    await fleet.begin("b")
    await fleet.run(2)
    assert (await fleet.rollout("b")).step > 0
    await fleet.begin("a", canary="1")
    back = await fleet.rollout("a", "1")
    lease = await fleet.open_as("api").claim("a", fleet.time)
    assert lease is not None

    await fleet.open_as("api").record(
        lease, record_of_rollout(replace(back, is_revert=True, stable="2"), due_at=fleet.time)
    )
    await fleet.open_as("api").release(lease)
    fleet.clouds.of["a"].latest = "2"
    await fleet.run(2)
    assert (await fleet.rollout("a", "1")).step > 0
    assert fleet.clouds.of["a"].routing.weight("1") == 100


async def test_what_observes_takes_no_place_and_waits_for_none(fleet: FleetWorld) -> None:
    fleet.limits = ONE
    fleet.policies = (replace(ALL, name="eyes", agents=("eye-*",), mode=Mode.OBSERVE), ALL)
    await fleet.make("eye-1", "eye-2", "b")
    for number, agent in enumerate(("eye-1", "eye-2", "b")):
        await fleet.begin(agent, after=number)
    await fleet.run(2)
    assert [(await fleet.rollout(agent)).step > 0 for agent in ("eye-1", "eye-2", "b")] == [True] * 3


async def test_whoever_is_frozen_lets_others_pass(fleet: FleetWorld) -> None:
    fleet.limits = ONE
    frozen = Calendar(freezes=(Span(NOON, NOON + 12 * TICK),))
    fleet.policies = (replace(ALL, name="cold", agents=("a",), calendar=frozen), ALL)
    await fleet.make("a", "b")
    await fleet.begin("a")
    await fleet.begin("b", after=1)
    await fleet.run(4)
    assert (await fleet.rollout("a")).held_by == "freeze, queue"
    assert (await fleet.rollout("b")).step > 0
    await fleet.run(30)
    assert [(await fleet.rollout(agent)).phase for agent in "ab"] == [Phase.PROMOTED] * 2


async def test_order_holds_the_later_agent_until_the_first_is_done(fleet: FleetWorld) -> None:
    fleet.policies = (replace(ALL, name="shops", agents=("shop",), after=("base",)), ALL)
    await fleet.make("base", "shop")
    await fleet.begin("shop")
    await fleet.begin("base")
    await fleet.run(2)
    held = await fleet.rollout("shop")
    assert (held.held_by, held.waiting_for) == ("order", "the end of the rollout of agent base")
    assert held.because.startswith("agent base comes before it (policy shops): its version 2 is under way. Once")
    await fleet.run(30)
    base, shop = await fleet.rollout("base"), await fleet.rollout("shop")
    assert (base.phase, shop.phase) == (Phase.PROMOTED, Phase.PROMOTED)
    assert base.ended_at is not None
    assert shop.started_at is not None
    assert base.ended_at <= shop.started_at


async def test_order_holds_after_a_bad_end_until_somebody_acknowledges_it(fleet: FleetWorld) -> None:
    fleet.policies = (replace(ALL, name="shops", agents=("shop",), after=("base",)), ALL)
    fleet.source.bad.add("base")
    await fleet.make("base", "shop")
    await fleet.begin("base")
    await fleet.begin("shop")
    await fleet.run(12)
    base, shop = await fleet.rollout("base"), await fleet.rollout("shop")
    assert (base.phase, shop.held_by) == (Phase.ROLLED_BACK, "order")
    assert "its version 2 was rolled back, and nobody acknowledged that" in shop.because
    known = Acknowledgement("kim", fleet.time)
    await fleet.open_as("api").acknowledge(base.id, known, event_of(base, known))
    await fleet.run(2)
    assert (await fleet.rollout("shop")).step > 0


async def test_an_agent_that_is_not_there_holds_until_it_is(fleet: FleetWorld) -> None:
    fleet.policies = (replace(ALL, name="shops", agents=("shop",), after=("base",)), ALL)
    await fleet.make("shop")
    await fleet.begin("shop")
    await fleet.run(2)
    assert "there is no agent of that name" in (await fleet.rollout("shop")).because
    await fleet.make("base")
    await fleet.run(2)
    assert (await fleet.rollout("shop")).step > 0


async def test_waves_follow_one_another_and_stop_where_one_goes_wrong(fleet: FleetWorld) -> None:
    fleet.limits = Limits(waves=(("ring-0",), ("ring-1",)))
    rings = [replace(ALL, name=f"ring-{n}", agents=(f"r{n}-*",), labels=(f"ring-{n}",)) for n in (0, 1)]
    fleet.policies = (*rings, ALL)
    fleet.source.bad.add("r0-b")
    await fleet.make("r0-a", "r0-b", "r1-a", "other")
    for agent in ("r1-a", "r0-a", "r0-b", "other"):
        await fleet.begin(agent)
    await fleet.run(2)
    held = await fleet.rollout("r1-a")
    assert (held.held_by, held.waiting_for) == ("wave", "wave 1 (ring-0): the end of its rollouts")
    assert (await fleet.rollout("other")).step > 0
    await fleet.run(30)
    assert [(await fleet.rollout(agent)).phase for agent in ("r0-a", "r0-b")] == [Phase.PROMOTED, Phase.ROLLED_BACK]
    held = await fleet.rollout("r1-a")
    assert held.because.startswith(
        "wave 1 (ring-0) comes before it: agent r0-b, version 2 was rolled back, and nobody acknowledged that. Once"
    )
    fleet.source.bad.clear()
    await fleet.begin("r0-b", canary="3")
    await fleet.run(40)
    assert [(await fleet.rollout(*which)).phase for which in (("r0-b", "3"), ("r1-a", "2"))] == [Phase.PROMOTED] * 2


async def test_a_process_killed_anywhere_leaks_no_place(fleet: FleetWorld) -> None:
    for touch in range(1, 41, 3):
        names = [f"{touch}-a", f"{touch}-b"]
        dying = FleetWorld(fleet.open_as, (ALL,), ONE, deaths=Deaths(touch, is_before=touch % 2 == 0))
        await dying.make(*names)
        for number, agent in enumerate(names):
            await dying.begin(agent, after=number)
        await dying.run(40)
        assert [(await dying.rollout(agent)).phase for agent in names] == [Phase.PROMOTED] * 2, touch
        assert dying.clouds.most == 1, touch
        assert dying.deaths.at is None, f"nobody was killed at {touch}"


async def test_two_groups_under_one_limit_go_one_after_the_other(fleet: FleetWorld) -> None:
    """Each has room for itself alone: one of each would wait for the other for ever."""
    fleet.limits = Limits(project=2)
    groups = {name: Group(name, (f"{name}-1", f"{name}-2")) for name in ("g", "h")}
    fleet.policies = (*(replace(ALL, name=name, agents=each.agents, group=each) for name, each in groups.items()), ALL)
    names = ("g-1", "h-1", "g-2", "h-2", "single")
    await fleet.make(*names)
    for number, name in enumerate(names):
        await fleet.begin(name, after=number)
    await fleet.run(60)
    assert {name: (await fleet.rollout(name)).phase for name in names} == dict.fromkeys(names, Phase.PROMOTED)
    assert fleet.clouds.most == 2


async def test_a_group_that_is_larger_than_its_limit_goes_alone(fleet: FleetWorld) -> None:
    fleet.limits = ONE
    pair = Group("g", ("g-1", "g-2"))
    fleet.policies = (replace(ALL, name="g", agents=pair.agents, group=pair, after=pair.agents), ALL)
    await fleet.make("single", *pair.agents)
    for number, name in enumerate(("single", *pair.agents)):
        await fleet.begin(name, after=number)
    await fleet.run(4)
    assert [(await fleet.rollout(name)).step > 0 for name in ("single", *pair.agents)] == [True, False, False]
    await fleet.run(40)
    ended = [await fleet.rollout(name) for name in ("single", *pair.agents)]
    assert [each.phase for each in ended] == [Phase.PROMOTED] * 3
    assert fleet.clouds.most == 2
