"""What the local Foundry and the store tell of an agent that was deleted and made again."""

import httpx

from builders import NOON, a_rollout
from emulated import make, name_of
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.incarnation import Marks, is_same
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.foundry.auth import FixedToken
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.ports import AgentKnown, Record, RolloutFilter
from foundry_rollouts.store.store import SqlStore


def delete(project: httpx.Client, agent: str = "a") -> None:
    assert project.delete(f"/agents/{agent}", params={"force": "true"}).status_code == 200


async def test_each_incarnation_of_an_agent_has_marks_of_its_own_in_lists_and_reads(
    cloud: httpx.Client, base_url: str
) -> None:
    async with FoundryClient(f"{base_url}/api/projects/{name_of(cloud)}", FixedToken()) as client:
        make(cloud)
        make(cloud, latency_ms=1)
        before = (await client.agent("a")).marks
        assert before.guid
        assert before.principal
        assert [version for version, _ in before.versions] == ["2"]
        listed = [agent.marks async for agent in client.agents()]
        assert listed == [before]
        assert [version.version for version in await client.versions("a")] == ["2", "1"]
        delete(cloud)
        make(cloud)
        after = (await client.agent("a")).marks
    assert is_same(before, after) is False
    assert is_same(before, Marks(principal=before.principal)) is True
    assert is_same(Marks(), after) is None


async def test_a_new_incarnation_forgets_the_versions_and_keeps_the_history(store: SqlStore) -> None:
    marks = Marks(guid="g-1", created_at=NOON, versions=(("1", NOON), ("2", None)))
    await store.see_agents([AgentKnown("support-agent", latest="2", routing=Routing.of({"1": 100}))], NOON)
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    ended = a_rollout(phase=Phase.PROMOTED, ended_at=NOON)
    await store.record(lease, Record(rollout=ended, stable="2", newest="2", marks=marks))
    known = await store.agent("support-agent")
    assert known is not None
    assert (known.stable, known.newest, known.incarnation, known.marks) == ("2", "2", 1, marks)
    await store.record(lease, Record(incarnation=2, marks=Marks(guid="g-2")))
    known = await store.agent("support-agent")
    assert known is not None
    assert (known.stable, known.newest, known.incarnation, known.marks) == (None, None, 2, Marks(guid="g-2"))
    assert [rollout.id for rollout in await store.rollouts(RolloutFilter(agent="support-agent"))] == ["r-1"]
    assert await store.rollouts(RolloutFilter(agent="support-agent", canary="2", incarnation=2)) == []
    assert len(await store.rollouts(RolloutFilter(agent="support-agent", canary="2", incarnation=1))) == 1
    assert await store.rollouts(RolloutFilter(agent="support-agent", canary="3")) == []


async def test_a_start_notes_the_version_that_follows_the_newest_one_only(store: SqlStore) -> None:
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    await store.record(lease, Record(stable="1", newest="1"))
    for version, newest in (("3", "1"), ("2", "2"), ("draft-7", "2"), ("1", "2")):
        rollout = a_rollout(id=f"r-{version}", canary=version)
        event = Event(f"{rollout.id}:1", NOON, "rollout.created", rollout.agent, "asked", rollout.id)
        await store.create(rollout, event, None)
        known = await store.agent("support-agent")
        assert known is not None
        assert known.newest == newest
