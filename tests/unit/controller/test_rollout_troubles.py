"""A rollout whose agent cannot be read, is not there for a moment, or lacks what its endpoint serves."""

from typing import Any

import pytest
from sqlalchemy import select

from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import VersionStatus
from foundry_rollouts.store.tables import events
from small_world import SmallWorld, a_quick_policy
from unit.controller.towns import FOREIGN, ticked


@pytest.mark.parametrize("on_drift", list(OnDrift))
async def test_a_rollout_whose_routing_cannot_be_read_is_left_alone_whatever_is_proved_or_asked(
    world: SmallWorld, on_drift: OnDrift
) -> None:
    world.policy = a_quick_policy(on_drift=on_drift)
    await world.begin()
    assert (await ticked(world)).phase is Phase.PROGRESSING
    sent = list(world.cloud.sent)
    world.cloud.unreadable, world.source.bad_from = FOREIGN, 1
    store = world.open_as("api")
    asked = await store.rollout(world.id)
    await store.accept(Command("c-1", world.id, Verb.ABORT, asked.generation, world.time, "kim", "so"))
    rollout = await ticked(world, 3)
    assert (rollout.phase, world.cloud.sent) == (Phase.PROGRESSING, sent)
    assert FOREIGN in rollout.because
    assert "Nothing is changed by itself" in rollout.because
    assert [kind for kind, *_ in await world.history()].count("rollout.harmed") == 1
    world.cloud.unreadable = None
    rollout = await ticked(world)
    assert rollout.phase is Phase.ROLLED_BACK, "what was asked meanwhile is not lost"
    assert rollout.because.startswith("kim asked to abort")


async def test_a_rollout_does_not_begin_over_rules_that_are_not_known(world: SmallWorld) -> None:
    world.cloud.unreadable = FOREIGN
    await world.begin()
    rollout = await ticked(world, 3)
    assert (rollout.phase, world.cloud.sent) == (Phase.PENDING, [])
    assert FOREIGN in rollout.because
    world.cloud.unreadable = None
    assert (await ticked(world)).phase is Phase.PROGRESSING


async def test_an_intent_stays_open_while_the_routing_cannot_be_read(world: SmallWorld) -> None:
    await world.begin()
    await ticked(world)
    world.source.bad_from, world.cloud.trouble = 1, None
    real, world.cloud.route = world.cloud.route, refuse  # type: ignore[assignment, method-assign]
    await ticked(world)
    world.cloud.route = real  # type: ignore[method-assign]
    sent = list(world.cloud.sent)
    world.cloud.unreadable = FOREIGN
    rollout = await ticked(world, 2)
    assert (rollout.phase, world.cloud.sent) == (Phase.PROGRESSING, sent)
    assert FOREIGN in rollout.because
    world.cloud.unreadable = None
    assert (await ticked(world, 2)).phase is Phase.ROLLED_BACK


async def refuse(*_: Any) -> bool:
    raise CloudError("agents.route", Refusal(503, "unavailable", "not now"))


@pytest.mark.parametrize("status", [VersionStatus.FAILED, VersionStatus.DELETING, VersionStatus.DELETED])
async def test_a_status_that_flickers_ends_nothing_and_two_reads_outlive_a_restart(
    world: SmallWorld, status: VersionStatus
) -> None:
    await world.begin()
    world.cloud.status, world.cloud.active = status, {"1"}
    rollout = await ticked(world)
    assert rollout.phase is Phase.PENDING
    assert rollout.waiting_for == f"a second read: version 2 reads {status}, and one read ends nothing"
    world.cloud.status = VersionStatus.CREATING
    assert (await ticked(world)).endings == ()
    world.cloud.status = status
    assert (await ticked(world)).phase is Phase.PENDING
    assert (await ticked(world)).phase is Phase.FAILED


async def test_a_version_that_is_not_there_once_ends_nothing(world: SmallWorld) -> None:
    await world.begin()
    world.cloud.deleted = "2"
    assert (await ticked(world)).phase is Phase.PENDING
    world.cloud.deleted = None
    assert (await ticked(world)).phase is Phase.PROGRESSING


async def test_a_canary_that_lacks_a_protocol_of_the_endpoint_is_refused_before_its_first_weight(
    world: SmallWorld,
) -> None:
    world.cloud.serves, world.cloud.declares = ("responses", "invocations"), ("responses",)
    await world.begin()
    rollout = await ticked(world)
    assert (rollout.phase, world.cloud.sent) == (Phase.FAILED, [])
    assert rollout.because.startswith("version 2 declares responses and not invocations, which the endpoint serves")


@pytest.mark.parametrize("declares", [None, ("invocations", "mcp", "responses")])
async def test_a_canary_that_declares_all_or_nothing_is_tried(
    world: SmallWorld, declares: tuple[str, ...] | None
) -> None:
    world.cloud.serves, world.cloud.declares = ("responses", "invocations"), declares
    await world.begin()
    assert (await ticked(world)).phase is Phase.PROGRESSING


async def test_what_a_change_of_the_weights_lost_is_put_back_and_told_once(world: SmallWorld) -> None:
    world.cloud.settings, world.cloud.after_route = '{"protocols":["responses","a2a"]}', '{"protocols":["responses"]}'
    await world.begin()
    assert (await ticked(world)).phase is Phase.PROGRESSING
    assert world.cloud.settings == '{"protocols":["responses","a2a"]}'
    reader: Any = world.open_as("reader")
    async with reader._database.reading() as connection:
        rows = (await connection.execute(select(events).where(events.c.kind == "agent.settings_restored"))).all()
    assert [row.because for row in rows] == [
        "a change of the weights lost protocols of the endpoint: put back as before"
    ]
