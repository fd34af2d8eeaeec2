"""Leases: one writer for each agent, and a fence against those that slept."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from builders import NOON, a_rollout, an_event, an_intent
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import LeaseLostError
from foundry_rollouts.ports import Lease, Record
from foundry_rollouts.store.engine import Database
from foundry_rollouts.store.store import SqlStore
from patience import PATIENCE
from statements import Tally, counting

OpenStore = Callable[[str], SqlStore]
LATER = NOON + timedelta(seconds=31)


async def a_due_agent(store: SqlStore, name: str = "support-agent") -> None:
    rollout = a_rollout(id=f"r-{name}", agent=name)
    await store.create(rollout, an_event(id=f"{name}-1", agent=name, rollout=rollout.id), None)


async def held(store: SqlStore) -> Lease:
    lease = await store.claim("support-agent", NOON)
    assert lease is not None
    return lease


async def test_an_agent_with_a_due_rollout_is_claimed(store: SqlStore) -> None:
    await a_due_agent(store)
    assert await store.claim_due(NOON, 10) == [
        Lease("support-agent", "replica-a", fence=1, until=NOON + timedelta(seconds=30), due_at=NOON)
    ]


async def test_an_agent_whose_rollout_is_due_later_is_left_alone(store: SqlStore) -> None:
    await a_due_agent(store)
    assert not await store.claim_due(NOON - timedelta(microseconds=1), 10)


async def test_an_agent_whose_rollout_has_ended_is_never_due_again(store: SqlStore) -> None:
    await a_due_agent(store)
    (lease,) = await store.claim_due(NOON, 10)
    (rollout,) = await store.unfinished("support-agent")
    await store.record(lease, Record(rollout=replace(rollout, phase=Phase.PROMOTED), due_at=NOON))
    await store.release(lease)
    assert not await store.claim_due(LATER, 10)


async def test_an_agent_with_an_open_intent_is_claimed_though_nothing_is_due(store: SqlStore) -> None:
    lease = await held(store)
    await store.open_intent(lease, an_intent())
    await store.release(lease)
    assert [lease.agent for lease in await store.claim_due(NOON, 10)] == ["support-agent"]


async def test_an_agent_with_two_causes_is_claimed_once(store: SqlStore) -> None:
    await a_due_agent(store)
    lease = await held(store)
    await store.open_intent(lease, an_intent())
    await store.release(lease)
    assert len(await store.claim_due(NOON, 10)) == 1


async def test_no_more_are_claimed_than_asked_for_and_who_waits_longest_comes_first(store: SqlStore) -> None:
    for number in (3, 1, 2):
        name = f"agent-{number}"
        rollout = a_rollout(id=name, agent=name, created_at=NOON + timedelta(seconds=number))
        await store.create(rollout, an_event(id=f"{name}-1", agent=name, rollout=name), None)
    claimed = await store.claim_due(LATER, 2)
    assert {lease.agent for lease in claimed} == {"agent-1", "agent-2"}


async def test_a_held_lease_is_not_granted_to_another_replica(store: SqlStore, open_store: OpenStore) -> None:
    await a_due_agent(store)
    await held(store)
    rival = open_store("replica-b")
    assert await rival.claim("support-agent", NOON) is None
    assert not await rival.claim_due(NOON, 10)


async def test_a_lease_of_ones_own_is_granted_anew_unless_it_is_busy(store: SqlStore) -> None:
    await a_due_agent(store)
    first = await held(store)
    assert not await store.claim_due(NOON, 10, busy=["support-agent"])
    (second,) = await store.claim_due(NOON, 10)
    assert second.fence == first.fence + 1


async def test_an_expired_lease_goes_to_who_asks_with_a_greater_fence(store: SqlStore, open_store: OpenStore) -> None:
    await a_due_agent(store)
    first = await held(store)
    (second,) = await open_store("replica-b").claim_due(first.until, 10)
    assert (second.replica, second.fence) == ("replica-b", first.fence + 1)


async def test_a_released_lease_is_free_at_once_and_the_fence_still_grows(store: SqlStore) -> None:
    first = await held(store)
    await store.release(first)
    assert (await held(store)).fence == first.fence + 1


async def test_releasing_a_lost_lease_does_not_free_the_new_holders(store: SqlStore, open_store: OpenStore) -> None:
    lost = await held(store)
    await open_store("replica-b").claim("support-agent", LATER)
    await store.release(lost)
    assert await store.claim("support-agent", LATER) is None


async def test_leases_that_are_released_at_the_same_time_are_freed_together(
    store: SqlStore, open_store: OpenStore
) -> None:
    held_ = [lease for name in "abcdef" if (lease := await store.claim(name, NOON))]
    await open_store("replica-b").claim("c", LATER)
    with counting(store) as tally:
        await asyncio.gather(*(store.release(lease) for lease in held_))
    assert tally == Tally(statements=2, commits=1)
    claimed = await asyncio.gather(*(open_store("replica-c").claim(lease.agent, NOON) for lease in held_))
    assert [lease is not None for lease in claimed] == [True, True, False, True, True, True]


async def test_renewing_prolongs_what_is_ours_and_leaves_out_what_is_lost(
    store: SqlStore, open_store: OpenStore
) -> None:
    kept, lost = await store.claim("kept", NOON), await store.claim("lost", NOON)
    assert kept
    assert lost
    await open_store("replica-b").claim("lost", LATER)
    assert await store.renew([kept, lost], LATER) == [replace(kept, until=LATER + timedelta(seconds=30))]
    assert not await store.renew([], LATER)


async def write_with(store: SqlStore, lease: Lease, what: str) -> None:
    match what:
        case "record":
            await store.record(lease, Record(rollout=a_rollout(), event=an_event(), stable="2"))
        case "open_intent":
            await store.open_intent(lease, an_intent(id="late"))
        case "drop_intent":
            await store.drop_intent(lease, an_intent())


@pytest.mark.parametrize("what", ["record", "open_intent", "drop_intent"])
async def test_a_write_behind_an_old_fence_is_refused_and_writes_nothing(
    store: SqlStore, open_store: OpenStore, what: str
) -> None:
    lost = await held(store)
    await store.open_intent(lost, an_intent())
    await open_store("replica-b").claim("support-agent", LATER)

    with pytest.raises(LeaseLostError, match=r"replica-a .*fence 1.*replica-b"):
        await write_with(store, lost, what)

    assert await store.intent("support-agent") == an_intent()
    assert not await store.unfinished("support-agent")
    assert not await store.history("r-1")
    assert not await store.agents()


@pytest.mark.parametrize("but", [{"replica": "replica-b"}, {"fence": 2}, {"agent": "stranger"}])
async def test_a_forged_lease_is_refused(store: SqlStore, but: dict[str, object]) -> None:
    lease = replace(await held(store), **but)  # type: ignore[arg-type]
    with pytest.raises(LeaseLostError):
        await store.open_intent(lease, an_intent(agent=lease.agent))


async def test_a_lease_that_ran_out_still_writes_while_nobody_took_it(store: SqlStore) -> None:
    lease = await held(store)
    await store.record(lease, Record(event=an_event(rollout=None, at=LATER)))
    assert await store.renew([lease], LATER)


async def test_a_record_does_not_reach_beyond_the_agent_of_its_lease(store: SqlStore) -> None:
    lease = await held(store)
    with pytest.raises(ValueError, match="does not cover agent stranger"):
        await store.record(lease, Record(rollout=a_rollout(agent="stranger")))


async def test_two_replicas_that_claim_two_hundred_agents_at_once_never_get_the_same_one(
    store: SqlStore, open_store: OpenStore
) -> None:
    names = {f"agent-{number:03}" for number in range(200)}
    for name in sorted(names):
        await a_due_agent(store, name)

    async def claim_all(replica: SqlStore) -> list[Lease]:
        mine: list[Lease] = []
        while claimed := await replica.claim_due(NOON, 7, [lease.agent for lease in mine]):
            mine += claimed
        return mine

    replicas = (store, *(open_store(f"replica-{letter}") for letter in "bcd"))
    granted = [lease for leases in await asyncio.gather(*map(claim_all, replicas)) for lease in leases]

    # A replica that skips what another one is just taking may stop early; what it left is there for the next sweep.
    granted += await open_store("replica-e").claim_due(NOON, 200)
    assert len(granted) == len({lease.agent for lease in granted}) == 200
    assert {lease.agent for lease in granted} == names
    assert {lease.fence for lease in granted} == {1}


async def test_one_of_many_that_claim_an_unknown_agent_at_once_gets_it(store: SqlStore, open_store: OpenStore) -> None:
    replicas = [store, *(open_store(f"replica-{number}") for number in range(5))]
    granted = await asyncio.gather(*(replica.claim("new", NOON) for replica in replicas))
    assert len([lease for lease in granted if lease]) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_sweep_does_not_wait_for_an_agent_that_another_replica_is_just_taking(
    store: SqlStore, database_url: str
) -> None:
    await a_due_agent(store, "taken")
    await a_due_agent(store, "free")
    database = Database(database_url)
    async with database.writing() as connection:
        await connection.execute(text("SELECT 1 FROM leases WHERE agent = 'taken' FOR UPDATE"))
        claimed = await asyncio.wait_for(store.claim_due(NOON, 10), PATIENCE)
    await database.close()
    assert [lease.agent for lease in claimed] == ["free"]


async def test_a_replica_hands_over_what_it_is_not_busy_with_and_others_find_it_due(
    store: SqlStore, open_store: OpenStore
) -> None:
    for name in ("idle", "busy", "support-agent"):
        await a_due_agent(store, name)
    other = open_store("replica-b")
    assert await other.claim("support-agent", NOON) is not None
    for lease in await store.claim_due(NOON, 10):
        (rollout,) = await store.unfinished(lease.agent)
        await store.record(lease, Record(rollout=rollout, due_at=LATER))
    assert await store.hand_over(NOON, ["busy"]) is True
    assert [(lease.agent, lease.due_at) for lease in await other.claim_due(NOON, 10)] == [
        ("idle", NOON),
        ("support-agent", NOON),
    ]
    assert await store.hand_over(NOON) is True
    assert "busy" in [lease.agent for lease in await other.claim_due(NOON, 10)]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_lease_that_a_hanging_transaction_has_locked_does_not_keep_the_others(
    store: SqlStore, open_store: OpenStore, database_url: str
) -> None:
    for name in ("locked", "support-agent"):
        await a_due_agent(store, name)
    assert len(await store.claim_due(NOON, 10)) == 2
    other, hanging = open_store("replica-b"), Database(database_url)
    async with hanging.writing() as connection:
        await connection.execute(text("SELECT * FROM leases WHERE agent = 'locked' FOR UPDATE"))
        assert await store.hand_over(NOON) is False
        assert await other.claim("support-agent", NOON) is not None
    await hanging.close()
    assert await store.hand_over(NOON) is True
    assert await other.claim("locked", NOON) is not None
