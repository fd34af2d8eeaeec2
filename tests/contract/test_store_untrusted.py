"""The store's door: no secret and no hidden character of others is kept in what tells why."""

from dataclasses import replace

from builders import NOON, a_rollout, an_event
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.ports import AgentKnown, Record
from foundry_rollouts.store.store import SqlStore

SAID = "refused by \x1b[2J\u202e https://x.example/?sig=hunter2secret as postgresql://u:hunter2secret@h/db\nnext"
KEPT = r"refused by \x1b[2J\u202e https://x.example/?sig=[redacted] as postgresql://u:[redacted]@h/db" + "\nnext"


async def test_why_something_happened_is_kept_without_secrets_and_readable(store: SqlStore) -> None:
    await store.see_agents([AgentKnown("support-agent", stable="1")], NOON)
    rollout = a_rollout(because=SAID, event_count=1)
    await store.create(rollout, an_event(because=SAID), None)
    assert (await store.rollout(rollout.id)).because == KEPT
    assert [event.because for event in await store.history(rollout.id)] == [KEPT]

    (lease,) = await store.claim_due(NOON, 10)
    canary = Counts(calls=1, failures=1, causes=((SAID, 1),))
    measured = Measurement("probe", Window(NOON, NOON), canary=canary, trouble=SAID)
    await store.record(lease, Record(rollout=replace(rollout, event_count=2), measurements=(measured,), due_at=NOON))
    (read,) = await store.measurements(rollout.id)
    assert read.trouble == KEPT
    assert read.canary.causes == ((KEPT, 1),)
