"""Three agents in lockstep with the real store: what people ask of one of them, and what becomes of the others."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from builders import a_rollout
from foundry_rollouts.core.deciding.queue import in_hand
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.effects import Mode
from foundry_rollouts.core.model.event import of_creation
from foundry_rollouts.core.model.group import Group
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import StoreError
from foundry_rollouts.store.store import SqlStore
from group_world import NAMES, ROUND, GroupWorld, tick_due
from small_world import SmallWorld


@pytest.fixture
def group(world: SmallWorld) -> GroupWorld:
    return GroupWorld(world.open_as)


async def test_a_good_version_of_each_is_promoted_in_lockstep(group: GroupWorld) -> None:
    await group.begin()
    for _ in range(12):
        await group.run(1)
        assert len(set(group.weights().values())) == 1, "a round is enough for whoever is woken to follow"
    assert {(await group.rollout(name)).phase for name in NAMES} == {Phase.PROMOTED}
    kinds = {kind.removeprefix("rollout.") for _, kind, *_ in await group.history()}
    assert kinds == {"created", "started", "advanced", "promoted"}


@pytest.mark.parametrize("bad_from", [10, 50, 100])
async def test_all_are_back_in_the_round_in_which_one_fails(group: GroupWorld, bad_from: int) -> None:
    group.sources["shipping-g"].bad_from = bad_from
    await group.begin()
    ended = await group.run()
    assert {each.phase for each in ended.values()} == {Phase.ROLLED_BACK}
    ends = [each.ended_at for each in ended.values() if each.ended_at]
    assert max(ends) - min(ends) < ROUND
    assert all("agent shipping-g, version 2: canary" in ended[name].because for name in ("cart", "payment"))
    assert set(group.weights().values()) == {0}


async def test_an_agent_without_a_new_version_keeps_the_others_waiting_and_an_edit_lets_them_go(
    group: GroupWorld,
) -> None:
    await group.begin(("cart", "payment"))
    store = group.open_as("reader")
    await group.run(4)
    waiting = await store.rollout("r-cart-g")
    assert (waiting.phase, waiting.held_by, group.weights()["cart"]) == (Phase.PENDING, "group", 0)
    assert waiting.because.startswith(
        "group checkout starts together: agent shipping-g has no version on trial. Once that is over: version 2"
    )
    assert [kind for _, kind, *_ in await group.history_of("cart")] == ["rollout.created", "rollout.held"]
    group.policy = replace(group.policy, group=Group("checkout", ("cart-g", "payment-g")))
    await group.run(12)
    assert (await store.rollout("r-cart-g")).phase is Phase.PROMOTED


async def test_a_pause_holds_the_others_and_an_abort_brings_them_back(group: GroupWorld) -> None:
    await group.begin()
    await group.run(1)
    await group.ask("cart", Verb.PAUSE)
    await group.run(4)
    held = await group.rollout("payment")
    assert (held.phase, held.held_by) == (Phase.PROGRESSING, "group")
    assert "agent cart-g, version 2, is paused: kim asked to pause: kim said so" in held.because
    assert group.weights() == {"cart": 10, "payment": 10, "shipping": 10}
    await group.ask("cart", Verb.ABORT)
    ended = await group.run()
    assert {each.phase for each in ended.values()} == {Phase.ROLLED_BACK}
    assert (
        ended["payment"].because == "rolled back together with agent cart-g, version 2: kim asked to abort: kim said so"
    )


async def test_two_replicas_at_once_move_a_group_in_lockstep_too(group: GroupWorld) -> None:
    group.sources["payment-g"].bad_from = 50
    await group.begin()
    replicas = [group.ticker() for _ in range(2)]
    for _ in range(60):
        if await group.is_over():
            break
        group.time += ROUND / 6
        await asyncio.gather(*(tick_due(*replica, group.time) for replica in replicas))
        rollouts = [await group.rollout(name) for name in NAMES]
        going = [each.step for each in rollouts if each.step and not each.phase.is_final]
        assert max(going, default=0) - min(going, default=0) <= 1
    rollouts = [await group.rollout(name) for name in NAMES]
    assert {each.phase for each in rollouts} == {Phase.ROLLED_BACK}
    assert len({each.in_group.run for each in rollouts}) == 1


async def test_what_is_observed_takes_no_part(group: GroupWorld) -> None:
    group.policy = replace(group.policy, mode=Mode.OBSERVE)
    await group.begin()
    ended = await group.run()
    assert {each.would_have for each in ended.values()} == {Phase.PROMOTED}
    assert {each.in_group.run for each in ended.values()} == {()}


async def test_a_rollout_of_another_agent_that_cannot_be_read_keeps_nobody_from_going_back(
    group: GroupWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group.begin()
    await group.run(2)

    async def members(_self: SqlStore, _agents: object, _run: object) -> None:
        raise StoreError("stored rollout cannot be read: was it written by another release?")

    monkeypatch.setattr(SqlStore, "members", members)
    await group.run(3)
    held = await group.rollout("cart")
    assert "group checkout goes on together: the others cannot be read: stored rollout cannot be read" in held.because
    group.sources["cart-g"].bad_from = 1
    await group.run(2)
    assert (await group.rollout("cart")).phase is Phase.ROLLED_BACK


async def test_of_those_that_wait_the_store_names_the_one_that_is_next(world: SmallWorld) -> None:
    store = world.open_as("any")
    queue: list[dict[str, Any]] = [{}, {"is_held": True}, {"is_revert": True}]
    for number, but in enumerate([*queue, {"step": 1, "phase": Phase.PROGRESSING}]):
        rollout = a_rollout(id=f"r-{number}", canary=f"{number + 2}", event_count=1, **but)
        await store.create(rollout, of_creation(rollout), None)
        current = in_hand(await store.unfinished("support-agent"))
        assert current is not None
        assert [each.id for each in await store.members(["support-agent"], [])] == [current.id]
    found = await store.members(["support-agent"], ["r-0", "r-1"])
    assert {each.id for each in found} == {"r-0", "r-1", "r-3"}
    assert await store.members(["nobody"], []) == []


async def test_a_database_that_wakes_nobody_only_makes_the_others_later(
    group: GroupWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wake(_self: SqlStore, _rollout: str, _now: object) -> None:
        raise StoreError("the database is away")

    monkeypatch.setattr(SqlStore, "wake", wake)
    group.sources["payment-g"].bad_from = 50
    await group.begin()
    ended = await group.run()
    assert {each.phase for each in ended.values()} == {Phase.ROLLED_BACK}
    assert sum("together with agent payment-g, version 2: canary" in each.because for each in ended.values()) == 2
