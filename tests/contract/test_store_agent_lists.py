"""What an overview of agents asks for, in both databases."""

from datetime import timedelta

from builders import NOON, a_rollout
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.ports import AgentKnown, Record
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
