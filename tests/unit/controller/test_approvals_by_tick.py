"""Approvals, tick by tick: counted with what they are of, void once that is another, and never given by silence."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.approval import ApprovalStep, Approver, OnTimeout
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.effects import Mode
from foundry_rollouts.core.model.policy import Policy, WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.commands import command
from small_world import TICK, Deaths, SmallWorld, a_quick_policy
from unit.controller.asking import kinds

HOURS = timedelta(hours=4)


def a_policy_of_two(*, mode: Mode = Mode.ACT, **terms: Any) -> Policy:
    step = ApprovalStep(**{"count": 2, **terms})
    return a_quick_policy(steps=(WeightStep(50, min=TICK), step, WeightStep(100, min=TICK)), mode=mode)


async def begun(world: SmallWorld, **terms: Any) -> None:
    """Tick until people are asked."""
    world.policy = a_policy_of_two(**terms)
    await world.begin()
    for _ in range(8):
        if (await world.open_as("reader").rollout(world.id)).waits_for_approval:
            await world.run(1)
            return
        await world.run(1)
    raise AssertionError("nobody is asked")


async def approve(world: SmallWorld, who: str) -> None:
    store = world.open_as(f"api of {who}")
    rollout = await store.rollout(world.id)
    asked = Command(
        f"c-{world.id}-{who}-{rollout.generation}", world.id, Verb.APPROVE, rollout.generation, world.time, who
    )
    await command(store, asked, Approver(who, Role.OPERATOR))


async def test_two_people_at_two_replicas_lead_on_together(world: SmallWorld) -> None:
    await begun(world)
    for who in ("bob", "cyd"):
        await approve(world, who)
        rollout = await world.run(1)
    assert (rollout.phase, rollout.step, rollout.approvals) == (Phase.PROGRESSING, 3, ())
    assert (await kinds(world))[-3:] == ["waiting", "approved", "advanced"]
    assert world.cloud.routing.weight("2") == 100


async def test_two_who_ask_before_one_tick_are_both_counted(world: SmallWorld) -> None:
    await begun(world)
    await approve(world, "bob")
    await approve(world, "cyd")
    assert (await world.run(2)).step == 3


async def test_a_policy_that_is_changed_voids_what_was_approved_also_what_waits_for_its_tick(world: SmallWorld) -> None:
    await begun(world)
    await approve(world, "bob")
    before = await world.run(1)
    await approve(world, "cyd")
    world.policy = replace(world.policy, deadline=timedelta(hours=1))
    await world.run(1)
    rollout = await world.run(1)
    assert (rollout.step, rollout.approvals) == (2, ())
    assert rollout.asked_about != before.asked_about
    assert (await kinds(world))[-3:] == ["approved", "declined", "approval_voided"]
    for who in ("cyd", "bob"):
        await approve(world, who)
        rollout = await world.run(1)
    assert rollout.step == 3


async def test_a_version_that_is_made_again_takes_no_approval_of_the_one_before(world: SmallWorld) -> None:
    world.cloud.created["2"] = world.time
    await begun(world)
    await approve(world, "bob")
    await world.run(1)
    world.cloud.created["2"] = world.time + TICK
    await approve(world, "cyd")
    assert (await world.run()).phase.is_final
    assert world.cloud.routing.weight("2") == 0
    assert (await kinds(world))[-2:] == ["approved", "failed"]


@pytest.mark.parametrize(
    ("then", "phase"),
    [
        (OnTimeout.HOLD, Phase.PROGRESSING),
        (OnTimeout.ROLLBACK, Phase.ROLLED_BACK),
        (OnTimeout.ABORT, Phase.ROLLED_BACK),
    ],
)
async def test_no_answer_in_time_is_never_a_yes(world: SmallWorld, then: OnTimeout, phase: Phase) -> None:
    await begun(world, timeout=HOURS, then=then)
    await approve(world, "bob")
    world.time += HOURS - 4 * TICK
    assert (await world.run(1)).phase is Phase.PROGRESSING
    world.time += 4 * TICK
    rollout = await world.run(2)
    assert (rollout.phase, rollout.step) == (phase, 2)
    assert world.cloud.routing.weight("2") == (50 if then is OnTimeout.HOLD else 0)
    assert (rollout.ended_by is not None) is (then is OnTimeout.ABORT)


async def test_while_it_only_observes_people_are_asked_and_nothing_is_moved(world: SmallWorld) -> None:
    await begun(world, mode=Mode.OBSERVE)
    for who in ("bob", "cyd"):
        await approve(world, who)
        await world.run(1)
    assert (await kinds(world))[-2:] == ["approved", "would_have_advanced"]
    assert world.cloud.sent == []


async def two_people(world: SmallWorld) -> None:
    """Let two people approve where they are asked to, one after the other."""
    store = world.open_as("api")
    rollout = await store.rollout(world.id)
    if rollout.approvals_missing and not await store.commands(world.id):
        await approve(world, ("bob", "cyd")[len(rollout.approvals)])


async def test_a_process_killed_at_any_touch_counts_nobody_twice_and_forgets_nobody(world: SmallWorld) -> None:
    policy = a_policy_of_two(not_author=True)
    asking: list[int] = []  # The touches before each tick in which somebody is still to approve.

    async def noting(calm: SmallWorld) -> None:
        await two_people(calm)
        if (await calm.open_as("api").rollout(calm.id)).approvals_missing:
            asking.append(calm.deaths.touches)

    calm = SmallWorld(world.open_as, policy=policy, people=noting)
    await calm.begin()
    assert (await calm.run()).phase is Phase.PROMOTED
    assert len(asking) > 1
    told = await calm.history()
    assert [because for kind, *_, because in told if kind == "rollout.approved"] == [
        "bob asked to approve. 1 of 2 approved, by bob"
    ]
    tick = asking[1] - asking[0]
    for touch in range(asking[0] + 1, min(asking[-1] + 2 * tick, calm.deaths.touches) + 1):
        for is_before in (True, False):
            deaths = Deaths(touch, is_before=is_before)
            died = SmallWorld(world.open_as, f"r-{touch}-{is_before}", policy=policy, people=two_people, deaths=deaths)
            await died.begin()
            assert (await died.run()).phase is Phase.PROMOTED, (touch, is_before)
            assert await died.history() == told, (touch, is_before)
            assert died.cloud.routing == calm.cloud.routing
