"""Records: all that a tick writes down, in one transaction, however often it is written."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from builders import NOON, a_policy, a_rollout, an_event, an_intent
from foundry_rollouts.core.judging.capital import EProcess
from foundry_rollouts.core.judging.estimate import StableEstimate
from foundry_rollouts.core.judging.evidence import initial
from foundry_rollouts.core.judging.one_armed import CeilingProcess
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import ProbeConfig, Prompt, Sources
from foundry_rollouts.errors import ConflictError, NotFoundError, StoreError
from foundry_rollouts.ports import Lease, Record, RolloutFilter
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.store.tables import rollouts

SOON = NOON + timedelta(seconds=10)


async def begun(store: SqlStore, **but: object) -> tuple[Lease, Rollout]:
    """Return a lease and a rollout that is on its first step."""
    rollout = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, **but)
    await store.create(rollout, an_event(), None)
    lease = await store.claim(rollout.agent, NOON)
    assert lease is not None
    return lease, rollout


def a_command(**but: object) -> Command:
    command = Command("c-1", "r-1", Verb.PAUSE, generation=1, at=NOON + timedelta(seconds=5), author="ann")
    return replace(command, **but)  # type: ignore[arg-type]


def a_measurement(minute: int, source: str = "probe") -> Measurement:
    start = NOON + timedelta(minutes=minute)
    counts = Counts(10, 2, 1, causes=(("timeout", 2),), latencies=((70, 8),))
    return Measurement(source, Window(start, start + timedelta(minutes=1)), canary=counts, trouble=None)


async def test_everything_of_a_record_is_there_afterwards(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    intent = an_intent()
    await store.open_intent(lease, intent)
    await store.accept(a_command())
    advanced = replace(rollout, step=2, generation=3, because="proved", event_count=2)
    evidence = initial(rollout.policy)

    await store.record(
        lease,
        Record(
            event=an_event(id="r-1-2", kind="rollout.advanced", step=2, weights={"1": 50, "2": 50}, author="ann"),
            rollout=advanced,
            evidence=evidence,
            measurements=(a_measurement(0),),
            obeyed=("c-1",),
            due_at=SOON,
            stable="1",
            newest="2",
        ),
        closes=intent,
    )

    assert await store.rollout("r-1") == advanced
    assert [event.id for event in await store.history("r-1")] == ["r-1-1", "r-1-2"]
    assert (await store.history("r-1"))[1].weights == {"1": 50, "2": 50}
    assert await store.evidence("r-1") == evidence
    assert await store.measurements("r-1") == [a_measurement(0)]
    assert not await store.commands("r-1")
    assert await store.intent("support-agent") is None
    (agent,) = await store.agents()
    assert (agent.name, agent.stable, agent.newest) == ("support-agent", "1", "2")
    assert agent.routing == intent.target


async def test_a_record_written_twice_counts_once(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    record = Record(
        event=an_event(id="r-1-2"),
        rollout=replace(rollout, phase=Phase.SUPERSEDED, generation=2),
        measurements=(a_measurement(0), a_measurement(0, "logs")),
        created=a_rollout(id="r-2", canary="3"),
    )
    await store.record(lease, record)
    once = (await store.rollout("r-1"), await store.rollout("r-2"))
    await store.record(lease, record)

    assert (await store.rollout("r-1"), await store.rollout("r-2")) == once
    assert len(await store.history("r-1")) == 2
    assert len(await store.measurements("r-1")) == 2


async def test_late_counts_of_one_window_are_kept_as_often_as_they_come(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    ticks = [(a_measurement(0),), (a_measurement(1), a_measurement(0)), (a_measurement(2), a_measurement(0))]
    for measured in ticks:
        await store.record(lease, Record(rollout=rollout, measurements=measured))
        await store.record(lease, Record(rollout=rollout, measurements=measured))
    assert await store.measurements("r-1") == [each for measured in ticks for each in measured]


async def test_what_a_record_leaves_out_stays(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    evidence = initial(rollout.policy)
    await store.record(lease, Record(rollout=rollout, evidence=evidence, due_at=SOON, stable="1", newest="2"))
    await store.record(lease, Record(event=an_event(id="r-1-2")))
    await store.release(lease)

    assert await store.rollout("r-1") == rollout
    assert await store.evidence("r-1") == evidence
    assert [(agent.stable, agent.newest) for agent in await store.agents()] == [("1", "2")]
    assert len(await store.claim_due(SOON, 10)) == 1


async def test_a_record_that_fails_half_way_writes_nothing(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    naive = a_rollout(id="r-2", canary="3", created_at=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="has no time zone"):
        await store.record(lease, Record(rollout=replace(rollout, step=2), event=an_event(id="r-1-2"), created=naive))
    assert await store.rollout("r-1") == rollout
    assert len(await store.history("r-1")) == 1


async def test_a_record_may_begin_a_rollout_that_is_due_at_once(store: SqlStore) -> None:
    lease = await store.claim("support-agent", NOON)
    assert lease
    await store.record(lease, Record(created=a_rollout(), event=an_event()))
    await store.release(lease)
    assert await store.unfinished("support-agent") == [a_rollout()]
    assert len(await store.claim_due(NOON, 10)) == 1


async def test_a_record_may_bring_a_rollout_that_the_store_has_not_seen(store: SqlStore) -> None:
    lease = await store.claim("support-agent", NOON)
    assert lease
    await store.record(lease, Record(rollout=a_rollout(), event=an_event(), due_at=SOON))
    assert await store.rollout("r-1") == a_rollout()


async def test_a_record_does_not_begin_a_second_trial_of_the_same_canary(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    with pytest.raises(ConflictError, match="r-1 is progressing at generation 1"):
        await store.record(lease, Record(created=a_rollout(id="r-2"), event=an_event(id="r-2-1")))
    assert await store.unfinished("support-agent") == [rollout]
    assert len(await store.history("r-1")) == 1


async def test_a_canary_may_be_tried_again_in_the_record_that_ends_its_first_trial(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    await store.record(lease, Record(rollout=replace(rollout, phase=Phase.SUPERSEDED), created=a_rollout(id="r-2")))
    assert [rollout.id for rollout in await store.unfinished("support-agent")] == ["r-2"]


async def test_the_release_before_reads_an_aborted_rollout_as_a_superseded_one(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    ended = replace(rollout, phase=Phase.ABORTED, ended_at=NOON, ended_by="kim", generation=2)
    await store.record(lease, Record(rollout=ended))
    assert (await store.rollout("r-1")) == ended
    assert (await store.counts())[Phase.ABORTED] == 1
    assert await store.rollouts(RolloutFilter(phase=Phase.ABORTED)) == [ended]
    async with store._database.reading() as connection:
        (document,) = await connection.scalars(select(rollouts.c.document))
    assert document["phase"] == "superseded"


# --- a command that comes while a tick is under way --------------------------------------------------------


async def test_a_tick_that_held_does_not_undo_the_generation_of_a_command(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    await store.accept(a_command())
    await store.record(lease, Record(rollout=replace(rollout, because="baking"), due_at=NOON + timedelta(hours=1)))

    assert (await store.rollout("r-1")).generation == 2
    assert (await store.rollout("r-1")).because == "baking"
    await store.release(lease)
    assert len(await store.claim_due(a_command().at, 10)) == 1, "the command must be seen at once"


async def test_a_tick_that_moved_counts_on_from_the_generation_of_a_command(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    await store.accept(a_command())  # its author is told generation 2, on step 1
    moved = replace(rollout, step=2, generation=2)
    await store.record(lease, Record(rollout=moved, due_at=NOON + timedelta(hours=1)))

    assert (await store.rollout("r-1")).generation == 3, "generation 2 was step 1 to those who saw it"
    await store.release(lease)
    assert len(await store.claim_due(a_command().at, 10)) == 1, "the command must be seen at once"


async def test_two_commands_during_one_tick_both_count(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    await store.accept(a_command())
    await store.accept(a_command(id="c-2", verb=Verb.ABORT, generation=2))
    await store.record(lease, Record(rollout=replace(rollout, step=2, generation=2), due_at=SOON))
    assert (await store.rollout("r-1")).generation == 4
    assert [command.id for command in await store.commands("r-1")] == ["c-2", "c-1"]


async def test_a_tick_that_obeys_its_commands_is_due_when_it_says(store: SqlStore) -> None:
    lease, _ = await begun(store)
    await store.accept(a_command())
    (seen,) = await store.unfinished("support-agent")
    paused = replace(seen, phase=Phase.PAUSED, generation=3)
    await store.record(lease, Record(rollout=paused, obeyed=("c-1",), due_at=SOON))
    await store.release(lease)

    assert (await store.rollout("r-1")).generation == 3
    assert not await store.claim_due(SOON - timedelta(microseconds=1), 10)
    assert len(await store.claim_due(SOON, 10)) == 1


async def test_a_command_that_an_earlier_tick_left_waiting_does_not_hurry_the_next(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    await store.accept(a_command())
    for generation in (3, 4):
        moved = replace(rollout, step=generation - 1, generation=generation)
        await store.record(lease, Record(rollout=moved, due_at=NOON + timedelta(hours=1)))
    await store.release(lease)
    assert not await store.claim_due(SOON, 10)


async def test_a_command_does_not_wake_a_rollout_that_the_tick_ended(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    await store.accept(a_command())
    await store.record(lease, Record(rollout=replace(rollout, phase=Phase.ROLLED_BACK, generation=2)))
    await store.release(lease)
    assert not await store.claim_due(NOON + timedelta(days=1), 10)


# --- intents, evidence, documents --------------------------------------------------------------------------


async def test_an_intent_comes_back_as_it_was_opened(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    record = Record(
        event=an_event(weights={"1": 90, "2": 10}),
        rollout=rollout,
        evidence=initial(rollout.policy),
        measurements=(a_measurement(0),),
        due_at=SOON,
        created=a_rollout(id="r-2"),
    )
    await store.open_intent(lease, an_intent(record=record))
    assert await store.intent("support-agent") == an_intent(record=record)


async def test_an_agent_has_one_open_intent(store: SqlStore) -> None:
    lease, _ = await begun(store)
    await store.open_intent(lease, an_intent())
    await store.open_intent(lease, an_intent())
    with pytest.raises(ConflictError, match="open intent r-1-2"):
        await store.open_intent(lease, an_intent(id="other"))
    await store.drop_intent(lease, an_intent(id="other"))
    assert await store.intent("support-agent") == an_intent()
    await store.drop_intent(lease, an_intent())
    assert await store.intent("support-agent") is None


async def test_evidence_is_fresh_before_the_first_measurement(store: SqlStore) -> None:
    await begun(store)
    assert await store.evidence("r-1") == initial(a_policy())
    with pytest.raises(NotFoundError, match="no rollout stranger"):
        await store.evidence("stranger")


async def test_evidence_comes_back_to_the_last_bit(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    process = EProcess(
        ladder=(-math.inf, math.inf, 0.1 + 0.2, 1e-300, -5e-324, 0.0, 1 / 3, 2.5), guess=StableEstimate(1e17, 1.5)
    )
    track = Track("error-rate", "probe", 1 / 3, (process,), strict=process, ceiling=CeilingProcess(), seen_at=SOON)
    evidence = replace(initial(rollout.policy), tracks=(track,))
    await store.record(lease, Record(rollout=rollout, evidence=evidence))
    assert await store.evidence("r-1") == evidence


async def test_evidence_belongs_to_a_rollout(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    with pytest.raises(ValueError, match="recorded with their rollout"):
        await store.record(lease, Record(evidence=initial(rollout.policy)))


async def test_a_rollout_comes_back_with_its_whole_policy(store: SqlStore) -> None:
    question = Prompt("json", {"nested": [1, None, {"ä": "\u2028"}]})
    policy = a_policy(
        steps=(WeightStep(10, max=timedelta(hours=1.5)), ApprovalStep(), WeightStep(100)),
        sources=Sources(probe=ProbeConfig(prompts=(question,)), logs=None),
    )
    rollout = a_rollout(policy=policy, stable=None, author="ann", paused_at=NOON + timedelta(microseconds=1))
    await store.create(rollout, an_event(), None)
    assert await store.rollout("r-1") == rollout


async def test_the_policy_of_a_rollout_never_changes(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    await store.record(lease, Record(rollout=replace(rollout, policy=a_policy(name="edited"))))
    assert (await store.rollout("r-1")).policy == rollout.policy


async def test_measurements_come_newest_last_and_the_oldest_are_left_out(store: SqlStore) -> None:
    lease, rollout = await begun(store)
    for minute in range(5):
        await store.record(lease, Record(rollout=rollout, measurements=(a_measurement(minute),)))
    assert await store.measurements("r-1", limit=2) == [a_measurement(3), a_measurement(4)]


async def test_a_database_without_schema_is_one_line_that_says_what_to_do(tmp_path: object) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/empty.db", replica="a", lease=timedelta(seconds=30))
    try:
        with pytest.raises(StoreError, match="run: foundry-rollouts db upgrade"):
            await store.check()
        with pytest.raises(StoreError, match="run: foundry-rollouts db upgrade"):
            await store.agents()
    finally:
        await store.close()
