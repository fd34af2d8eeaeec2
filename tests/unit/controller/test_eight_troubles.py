"""Eight troubles outside the analysis of a step: each has its event, once, and the event leaves its message."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from discovered import Discovered
from fakes import FakePolicies
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError, Refusal, UsageError
from foundry_rollouts.store.tables import events, outbox
from small_world import SmallWorld, a_quick_policy


class Tied(FakePolicies):
    def policy_for(self, agent: str) -> None:
        raise UsageError(f"policies east and all name the agent {agent} equally: name it in full in one of them")


async def silent(rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
    """Measure nothing, and say why."""
    return (Measurement("probe", window, Counts(), Counts(), trouble="the metrics server answers 503"),)


def refusing(world: SmallWorld, status: int) -> None:
    async def refuse(*_: Any) -> bool:
        raise CloudError("agents.route", Refusal(status, "refused", "not by you"))

    world.cloud.route = refuse  # type: ignore[method-assign, assignment]


async def build(town: Discovered) -> None:
    town.world.cloud.failed = {"2"}
    await town.discover("2")


async def gone(town: Discovered) -> None:
    await town.discover("2")
    await town.tick()
    town.world.cloud.trouble = CloudError("agents.get", Refusal(404, "not_found", "there is no such agent"))


async def deadline(town: Discovered) -> None:
    town.policy = replace(town.policy, deadline=timedelta(seconds=25))
    town.world.source.calls = 0
    await town.discover("2")


async def drift(town: Discovered) -> None:
    await town.discover("2")
    await town.tick()
    town.world.cloud.routing = Routing.of({"1": 40, "2": 60})


async def source(town: Discovered) -> None:
    town.world.source.measure = silent  # type: ignore[method-assign]
    await town.discover("2")


async def refused(town: Discovered) -> None:
    refusing(town.world, 403)
    await town.discover("2")


async def rollback(town: Discovered) -> None:
    await town.discover("2")
    await town.tick()
    town.world.source.bad_from = 1
    refusing(town.world, 500)


TROUBLES: dict[str, tuple[Callable[[Discovered], Awaitable[None]], str, str]] = {
    "build": (build, "rollout.failed", "version 2 is failed: the wheel is missing"),
    "gone": (gone, "rollout.superseded", "the agent was deleted"),
    "deadline": (deadline, "rollout.paused", "the deadline of 0:00:25 is over"),
    "drift": (drift, "rollout.paused", "somebody changed the routing to"),
    "source": (source, "rollout.held", "the metrics server answers 503"),
    "refused": (refused, "rollout.refused", "the cloud refuses the step to 10%: 403 refused: not by you"),
    "rollback": (rollback, "rollout.refused", "the cloud refuses the way back to version 1 at 100%: 500 refused"),
}


async def told(town: Discovered, kind: str) -> list[tuple[str, bool]]:
    """Return what the events of a kind say, and whether each left a message."""
    query = select(events.c.because, outbox.c.event.is_not(None)).select_from(
        events.outerjoin(outbox, outbox.c.event == events.c.seq)
    )
    async with town.world.open_as("reader")._database.reading() as connection:  # type: ignore[attr-defined]
        rows = await connection.execute(query.where(events.c.kind == kind, events.c.agent == town.agent))
        return [(because, is_left) for because, is_left in rows]


@pytest.fixture
async def town(world: SmallWorld) -> Discovered:
    town = Discovered(world, a_quick_policy())
    await town.discover()
    return town


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_each_trouble_has_its_event_once_and_a_message(town: Discovered, trouble: str) -> None:
    begin, kind, words = TROUBLES[trouble]
    await begin(town)
    for _ in range(6):
        try:
            await town.tick()
        except CloudError:
            continue
    said = [(because, is_left) for because, is_left in await told(town, kind) if words in because]
    assert len(said) == 1, await told(town, kind)
    assert said[0][1]


async def test_two_policies_that_tie_have_their_event_once_and_a_message(town: Discovered) -> None:
    town.policies = Tied((town.policy,))
    for _ in range(3):
        await town.discover()
    ((because, is_left),) = await told(town, "agent.ungoverned")
    assert "equally" in because
    assert is_left
