"""Which projects a database is of, over SQLite and over PostgreSQL."""

from datetime import timedelta

import pytest

from builders import NOON, a_rollout, an_event, an_intent
from contract.conftest import OpenStore
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.ports import AgentKnown, Record, RolloutFilter
from foundry_rollouts.ports.projects import BoundProjects
from foundry_rollouts.store.store import SqlStore

ONLY = "acme.example/api/projects/prod"
AGENT, NAMED = "support-agent", "sales/support-agent"
LATER = NOON + timedelta(hours=1)


async def test_only_the_agents_of_a_whole_listing_s_own_project_are_gone(store: SqlStore) -> None:
    seen = [AgentKnown(name, routing=Routing.of({"1": 100})) for name in ("sales/a", "sales/b", "sales_x/a", "emea/a")]
    await store.see_agents(seen, NOON)
    await store.see_agents(seen[:1], LATER, project="sales")
    gone = {agent.name: agent.is_gone for agent in await store.agents()}
    assert gone == {"sales/a": False, "sales/b": True, "sales_x/a": False, "emea/a": False}
    await store.see_agents([], LATER + timedelta(hours=1), is_whole=False, project="emea")
    assert {agent.name: agent.is_gone for agent in await store.agents()} == gone


async def test_of_agents_that_are_as_known_the_time_is_new_and_nothing_else(store: SqlStore) -> None:
    first = Routing.of({"1": 100})
    seen = [AgentKnown(name, latest="1", routing=first, policy="p") for name in ("a", "b", "c")]
    await store.see_agents(seen, NOON)
    others = [AgentKnown(name, latest="2", routing=Routing.of({"2": 100})) for name in ("a", "b")]
    await store.see_agents(others, LATER, as_known={"a"})
    found = {agent.name: agent for agent in await store.agents()}
    assert {name: (agent.latest, agent.seen_at, agent.is_gone) for name, agent in found.items()} == {
        "a": ("1", LATER, False),
        "b": ("2", LATER, False),
        "c": ("1", NOON, True),
    }
    await store.see_agents(seen, NOON, is_whole=False, as_known={"a", "b", "c"})
    assert (await store.agents())[0].seen_at == LATER  # A slower replica turns no time back.


async def test_agents_with_plain_names_are_named_by_their_project_from_then_on(store: SqlStore) -> None:
    await store.bind_project(ONLY, NOON)
    await store.see_agents([AgentKnown(AGENT, routing=Routing.of({"1": 100}))], NOON)
    made = await store.create(a_rollout(agent=AGENT), an_event(agent=AGENT), None)
    lease = await store.claim(AGENT, NOON)
    assert lease is not None
    with pytest.raises(ConflictError, match="a service works on this database"):
        await store.name_agents("sales", NOON)
    await store.open_intent(lease, an_intent(agent=AGENT))
    with pytest.raises(ConflictError, match="a change of an endpoint is not settled"):
        await store.name_agents("sales", LATER)
    await store.record(lease, Record(stable="1"), an_intent(agent=AGENT))
    await store.release(lease)
    assert await store.name_agents("sales", LATER) == 1
    assert await store.projects() == BoundProjects(several={"sales": ONLY}, count=1)
    assert [(agent.name, agent.stable) for agent in await store.agents()] == [(NAMED, "1")]
    assert (await store.rollout(made.id)).agent == NAMED
    assert [each.id for each in await store.rollouts(RolloutFilter(agent=NAMED))] == [made.id]
    # What happened before is never rewritten.
    assert {event.agent for event in await store.history(made.id)} == {AGENT}
    with pytest.raises(ConflictError, match="there is nothing to do"):
        await store.name_agents("sales", LATER + timedelta(days=1))


async def test_a_project_that_moved_keeps_its_name(open_store: OpenStore) -> None:
    store = open_store("replica-a")
    await store.add_project("sales", ONLY, 1, NOON)
    await store.add_project("late", "elsewhere", 1, NOON)
    await store.add_project("emea", "acme.example/api/projects/emea", 2, NOON)
    await store.move_project("sales", "moved.example/api/projects/prod", LATER)
    await store.move_project("nobody", "x", LATER)
    assert (await store.projects()).several == {
        "sales": "moved.example/api/projects/prod",
        "emea": "acme.example/api/projects/emea",
    }
