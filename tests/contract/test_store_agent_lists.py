"""What an overview of agents asks for, in both databases."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection, Engine, event

from builders import NOON, a_rollout
from fakes import stand
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.ports import AgentFilter, AgentKnown, Record
from foundry_rollouts.store.store import SqlStore

PINNED = Routing.of({"1": 100})


async def test_agents_that_a_person_has_to_see_are_found_whatever_their_number(store: SqlStore) -> None:
    closed, latest = Routing.of({"1": 100}, is_open=False), Routing.of({LATEST: 100})
    agents = [AgentKnown(f"well-{at}", routing=PINNED) for at in range(30)]
    odd = [
        AgentKnown("closed", routing=closed),
        AgentKnown("latest", routing=latest),
        AgentKnown("odd", routing=PINNED),
    ]
    await store.see_agents([*agents, *odd, AgentKnown("new")], NOON)
    lease = await store.claim("odd", NOON)
    assert lease is not None
    await store.record(lease, Record(unreadable="its rules are not known here"))

    assert sorted(await store.agents_to_check()) == ["closed", "latest", "odd"]


async def test_agents_that_are_gone_need_nobody(store: SqlStore) -> None:
    await store.see_agents([AgentKnown("latest", routing=Routing.of({LATEST: 100}))], NOON)
    await store.see_agents([], NOON + timedelta(seconds=1))

    assert list(await store.agents_to_check()) == []


async def test_the_last_rollout_of_each_agent_is_the_newest(store: SqlStore) -> None:
    ended = {"phase": Phase.PROMOTED, "started_at": NOON, "ended_at": NOON}
    await stand(store, a_rollout(id="r-1", **ended))
    await stand(store, a_rollout(id="r-2", canary="3", created_at=NOON + timedelta(hours=1), **ended))
    await stand(store, a_rollout(id="r-3", agent="another", canary="3", **ended))

    found = await store.last_rollouts(["support-agent", "another", "never"])

    assert {agent: rollout.id for agent, rollout in found.items()} == {"support-agent": "r-2", "another": "r-3"}


async def test_agents_under_way_are_those_with_an_unfinished_rollout_and_some_wait_for_a_person(
    store: SqlStore,
) -> None:
    plan = a_rollout().policy
    approved = replace(plan, steps=(plan.steps[0], ApprovalStep(), *plan.steps[1:]))
    moves = {"phase": Phase.PROGRESSING, "step": 1, "started_at": NOON, "step_started_at": NOON}
    await stand(store, a_rollout(id="r-1", agent="moves", **moves))
    await stand(store, a_rollout(id="r-2", agent="asks", policy=approved, **(moves | {"step": 2})))
    await stand(store, a_rollout(id="r-3", agent="past", policy=approved, **(moves | {"step": 3})))
    await stand(store, a_rollout(id="r-4", agent="stands", **(moves | {"phase": Phase.PAUSED})))
    await stand(store, a_rollout(id="r-5", agent="held", is_held=True))
    await stand(store, a_rollout(id="r-6", agent="moves", canary="3", is_held=True))
    await stand(store, a_rollout(id="r-7", agent="over", phase=Phase.PROMOTED, started_at=NOON, ended_at=NOON))

    assert await store.agents_under_way() == {
        "moves": False,
        "asks": True,
        "past": False,
        "stands": True,
        "held": True,
    }


async def test_names_of_agents_are_those_the_cloud_shows_and_the_words_fit(store: SqlStore) -> None:
    await store.see_agents([AgentKnown(name, routing=PINNED) for name in ("b-1", "a-2", "a-1", "c-1")], NOON)
    await store.see_agents([AgentKnown("gone-1")], NOON, is_whole=False)
    await store.see_agents(
        [AgentKnown(name, routing=PINNED) for name in ("b-1", "a-2", "a-1", "c-1")], NOON + timedelta(seconds=1)
    )

    only = frozenset({"b-1", "a-1", "a-2", "gone-1", "never-1"})
    assert list(await store.agent_names(AgentFilter(words="-1", only=only, limit=1))) == ["a-1", "b-1"]


async def test_what_is_read_at_once_is_read_in_one_transaction_and_what_comes_behind_is_not(store: SqlStore) -> None:
    await store.see_agents([AgentKnown("a-1", routing=PINNED)], NOON)
    begun: list[object] = []

    def count(connection: Connection) -> None:
        begun.append(connection)

    event.listen(Engine, "begin", count)
    try:
        async with store.at_once():
            assert await store.agents_counted(AgentFilter()) == 1
            async with store.at_once():
                assert await store.agent_names(AgentFilter()) == ["a-1"]
            assert await store.agents_under_way() == {}
        assert len(begun) == 1
        await store.agents_under_way()
        assert len(begun) == 2
    finally:
        event.remove(Engine, "begin", count)


async def test_the_evidence_of_many_is_that_of_each(store: SqlStore) -> None:
    measured = await stand(store, a_rollout(id="r-1", phase=Phase.PROGRESSING, step=1, started_at=NOON))
    await stand(store, a_rollout(id="r-2", agent="another"))
    weighed = replace(initial(measured.policy), is_proved=True)
    lease = await store.claim(measured.agent, NOON)
    assert lease
    await store.record(lease, Record(rollout=measured, evidence=weighed, due_at=NOON))

    found = await store.evidence_of_each(["r-1", "r-2", "never"])
    assert found == {"r-1": weighed, "r-2": initial(measured.policy)}
