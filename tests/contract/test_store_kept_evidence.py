"""Evidence that a process keeps from tick to tick: only what it wrote itself, under a lease that nobody else had."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from builders import NOON, a_rollout, an_event
from foundry_rollouts.core.judging.evidence import Evidence, initial
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.ports import Lease, Record
from foundry_rollouts.store.store import SqlStore

OpenStore = Callable[[str], SqlStore]
AGENT = "support-agent"


async def begun(store: SqlStore) -> tuple[Lease, Rollout]:
    rollout = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)
    await store.create(rollout, an_event(), None)
    lease = await store.claim(AGENT, NOON)
    assert lease is not None
    return lease, rollout


async def written(store: SqlStore, lease: Lease, rollout: Rollout, seconds: float, *, is_proved: bool) -> Evidence:
    """Write evidence as a tick would, and return it."""
    evidence = replace(initial(rollout.policy), is_proved=is_proved)
    measured = replace(rollout, measured_until=NOON + timedelta(seconds=seconds))
    await store.record(lease, Record(rollout=measured, evidence=evidence, due_at=NOON))
    return evidence


async def test_what_a_tick_wrote_the_next_one_has_at_hand(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    for second in (1, 2):
        evidence = await written(store, lease, rollout, second, is_proved=second == 2)
        assert (await store.standing(AGENT)).evidence is evidence


async def test_what_another_replica_wrote_meanwhile_is_read(store: SqlStore, open_store: OpenStore) -> None:
    lease, rollout = await begun(store)
    await written(store, lease, rollout, 1, is_proved=False)
    other = open_store("replica-b")
    theirs = await other.claim(AGENT, NOON + timedelta(hours=2))
    assert theirs is not None
    evidence = await written(other, theirs, rollout, 2, is_proved=True)
    assert (await store.standing(AGENT)).evidence == evidence


async def test_a_lease_that_is_granted_anew_begins_with_what_the_database_says(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    evidence = await written(store, lease, rollout, 1, is_proved=True)
    await store.claim(AGENT, NOON)
    found = (await store.standing(AGENT)).evidence
    assert found == evidence
    assert found is not evidence


async def test_a_lease_that_is_let_go_keeps_nothing(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    evidence = await written(store, lease, rollout, 1, is_proved=True)
    await store.release(lease)
    found = (await store.standing(AGENT)).evidence
    assert found == evidence
    assert found is not evidence
