"""All agents together, on both databases: what is read of them, and starts that come at the same instant."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout, an_event
from contract.conftest import OpenStore
from fleet_world import FleetWorld
from foundry_rollouts.controller.record import record_of_rollout
from foundry_rollouts.core.model.acknowledgement import Acknowledgement, event_of
from foundry_rollouts.core.model.effects import Mode
from foundry_rollouts.core.model.fleet import BadEnd, FleetQuestion, Trial
from foundry_rollouts.core.model.limits import Limits
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import AgentKnown, Intent, Record
from foundry_rollouts.store.store import SqlStore
from small_world import TICK, a_quick_policy

SOON = NOON + timedelta(seconds=1)
ALL = a_quick_policy(name="all", agents=("*",))


class AtTheSameInstant:
    """A store whose starts wait for one another, so that none is recorded before all are decided."""

    def __init__(self, store: SqlStore, meeting: asyncio.Barrier) -> None:
        self._store = store
        self._meeting = meeting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def open_intent(self, *args: Any) -> None:
        await self._meeting.wait()
        await self._store.open_intent(*args)


async def test_of_two_replicas_that_start_at_the_same_instant_one_waits(open_store: OpenStore) -> None:
    fleet = FleetWorld(open_store, (ALL,), Limits(project=1))
    await fleet.make("a", "b")
    await fleet.begin("a")
    await fleet.begin("b")
    meeting = asyncio.Barrier(2)
    fleet.time += TICK
    ticks = []
    for agent in ("a", "b"):
        store = open_store(f"replica-{agent}")
        lease = await store.claim(agent, fleet.time)
        assert lease is not None
        ticks.append(fleet.ticker(AtTheSameInstant(store, meeting))[1].tick(lease))
    await asyncio.gather(*ticks)
    rollouts = [await fleet.rollout(agent) for agent in ("a", "b")]
    assert sorted(each.step for each in rollouts) == [0, 1]
    first, second = sorted(rollouts, key=lambda each: each.step, reverse=True)
    assert second.held_by == "queue"
    assert f"1 of 1 rollout is under way ({first.agent})" in second.because
    assert await fleet.open_as("reader").intent(second.agent) is None
    assert fleet.clouds.under_way == 1


async def test_two_replicas_keep_a_limit_together_and_serve_everybody(open_store: OpenStore) -> None:
    fleet = FleetWorld(open_store, (ALL,), Limits(project=2))
    names = [f"agent-{number}" for number in range(5)]
    await fleet.make(*names)
    for number, name in enumerate(names):
        await fleet.begin(name, after=number % 2)
    replicas = [fleet.ticker(), fleet.ticker()]
    for _ in range(40):
        fleet.time += TICK
        await asyncio.gather(*(fleet.sweep(store, ticker, most=3) for store, ticker in replicas))
        ended = [(await fleet.rollout(name)).phase for name in names]
        if ended == [Phase.PROMOTED] * len(names):
            break
    assert ended == [Phase.PROMOTED] * len(names)
    assert fleet.clouds.most == 2


def an_opening(agent: str, started: Record) -> Intent:
    before, target = Routing.of({"1": 100}), Routing.of({"1": 90, "2": 10})
    return Intent("i-1", agent, NOON, before, target, is_retreat=False, record=started)


async def put(store: SqlStore, rollout: Rollout) -> None:
    made = replace(rollout, phase=Phase.PENDING, step=0)
    await store.create(made, an_event(id=f"{rollout.id}-1", agent=rollout.agent, rollout=rollout.id), None)
    lease = await store.claim(rollout.agent, NOON)
    assert lease is not None
    await store.record(lease, record_of_rollout(rollout, due_at=NOON))
    await store.release(lease)


async def test_what_is_read_of_all_agents(store: SqlStore) -> None:
    names = ("base", "eye", "going", "old", "known", "starting", "waits")
    await store.see_agents([AgentKnown(name) for name in names], NOON)
    labelled = a_policy(labels=("payments", "ring-0"))
    going = a_rollout(id="r-1", agent="going", policy=labelled, phase=Phase.PAUSED, step=1)
    eye = a_rollout(id="r-2", agent="eye", policy=a_policy(mode=Mode.OBSERVE))
    waits = a_rollout(id="r-3", agent="waits", held_by="queue", is_revert=True)
    starting = a_rollout(id="r-4", agent="starting")
    back = a_rollout(id="r-5", agent="base", phase=Phase.ROLLED_BACK, step=1, ended_at=NOON)
    old = replace(back, id="r-6", agent="old")
    for rollout in (going, eye, waits, starting, back, old):
        await put(store, rollout)
    lease = await store.claim("starting", NOON)
    assert lease is not None
    started = record_of_rollout(replace(starting, step=1, phase=Phase.PROGRESSING))
    known = Acknowledgement("kim", NOON + timedelta(minutes=1))
    await store.acknowledge("r-6", known, event_of(old, known))
    await store.open_intent(lease, an_opening("starting", started))
    facts = await store.fleet(FleetQuestion(("base", "old", "nobody", "known"), False))
    assert {each.agent: each for each in facts.trials} == {
        "going": Trial("r-1", "going", "2", NOON, Phase.PAUSED, True, due_at=NOON, labels=("payments", "ring-0")),
        "eye": Trial("r-2", "eye", "2", NOON, is_observed=True, due_at=NOON),
        "waits": Trial("r-3", "waits", "2", NOON, is_revert=True, held_by="queue", due_at=NOON),
        "starting": Trial("r-4", "starting", "2", NOON, is_under_way=True, due_at=NOON),
    }
    assert facts.known == {"base", "old", "known"}
    assert facts.bad_ends == {"base": BadEnd("r-5", "base", "2", Phase.ROLLED_BACK)}
    assert (await store.fleet(FleetQuestion(of_all=True))).bad_ends == facts.bad_ends
    assert (await store.fleet(FleetQuestion())).bad_ends == {}


@pytest.mark.parametrize(
    ("created", "found"), [(NOON, {"going", "starting", "early"}), (SOON, {"going", "starting", "early", "late"})]
)
async def test_a_start_reads_those_only_that_could_keep_it_waiting(
    store: SqlStore, created: datetime, found: set[str]
) -> None:
    for agent, at, but in (
        ("going", SOON, {"phase": Phase.PROGRESSING, "step": 1}),
        ("early", NOON, {"held_by": "queue"}),
        ("late", SOON, {"held_by": "queue"}),
        ("frozen", NOON, {"held_by": "freeze, queue"}),
        ("fresh", NOON, {}),
        ("starting", SOON, {}),
    ):
        await put(store, a_rollout(id=f"r-{agent}", agent=agent, created_at=at, **but))
    lease = await store.claim("starting", NOON)
    assert lease is not None
    started = record_of_rollout(a_rollout(id="r-starting", agent="starting", step=1, phase=Phase.PROGRESSING))
    await store.open_intent(lease, an_opening("starting", started))
    facts = await store.fleet(FleetQuestion(before=created))
    assert {each.agent for each in facts.trials} == found
    facts = await store.fleet(FleetQuestion(("fresh",), before=created))
    assert {each.agent for each in facts.trials} == found | {"fresh"}
