"""What people ask: requests that act once, on a rollout that is as their author saw it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout, an_event
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import ConflictError, NotFoundError
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore

OpenStore = Callable[[str], SqlStore]
LATER = NOON + timedelta(minutes=1)


def a_command(**but: object) -> Command:
    command = Command("c-1", "r-1", Verb.PAUSE, generation=1, at=LATER, author="ann", reason="lunch")
    return replace(command, **but)  # type: ignore[arg-type]


async def as_it_became(store: SqlStore, rollout: Rollout) -> None:
    lease = await store.claim(rollout.agent, NOON)
    assert lease
    await store.record(lease, Record(rollout=rollout, due_at=NOON + timedelta(hours=1)))
    await store.release(lease)


# --- create ------------------------------------------------------------------------------------------------


async def test_a_created_rollout_is_there_with_its_first_event(store: SqlStore) -> None:
    assert await store.create(a_rollout(), an_event(), None) == a_rollout()
    assert await store.rollout("r-1") == a_rollout()
    assert await store.history("r-1") == [an_event()]


async def test_the_same_request_under_the_same_key_returns_the_rollout_it_made(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), "key")
    await as_it_became(store, a_rollout(phase=Phase.PROMOTED))
    again = await store.create(a_rollout(id="r-2", created_at=LATER), an_event(id="r-2-1", rollout="r-2"), "key")
    assert (again.id, again.phase) == ("r-1", Phase.PROMOTED)
    assert len(await store.history("r-1")) == 1
    assert sum((await store.counts()).values()) == 1


@pytest.mark.parametrize(
    "but",
    [{"agent": "other"}, {"canary": "3"}, {"policy": a_policy(name="other")}, {"author": "bob"}],
    ids=lambda but: next(iter(but)),
)
async def test_another_request_under_the_same_key_is_refused(store: SqlStore, but: dict[str, object]) -> None:
    await store.create(a_rollout(), an_event(), "key")
    with pytest.raises(ConflictError, match=r"made rollout r-1 .* pending at generation 1"):
        await store.create(a_rollout(id="r-2", **but), an_event(id="r-2-1", rollout="r-2"), "key")


async def test_a_canary_on_trial_is_not_tried_a_second_time(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), "one")
    with pytest.raises(ConflictError, match="rollout r-1 is pending at generation 1"):
        await store.create(a_rollout(id="r-2"), an_event(id="r-2-1", rollout="r-2"), "two")
    assert len(await store.history("r-2")) == 0


async def test_a_canary_may_be_tried_again_once_its_trial_has_ended(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await as_it_became(store, a_rollout(phase=Phase.ROLLED_BACK))
    await store.create(a_rollout(id="r-2"), an_event(id="r-2-1", rollout="r-2"), None)
    assert [rollout.id for rollout in await store.unfinished("support-agent")] == ["r-2"]


async def test_an_id_names_one_rollout(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    with pytest.raises(ConflictError, match="rollout r-1 already"):
        await store.create(a_rollout(canary="3"), an_event(), None)


async def test_of_many_that_ask_for_the_same_trial_at_once_one_gets_it(store: SqlStore, open_store: OpenStore) -> None:
    stores = (store, store, open_store("replica-b"), open_store("replica-b"))
    answers = await asyncio.gather(
        *(
            each.create(a_rollout(id=f"r-{n}"), an_event(id=f"r-{n}-1", rollout=f"r-{n}"), None)
            for n, each in enumerate(stores)
        ),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["OnTrialError"] * 3 + ["Rollout"]


async def test_of_many_that_send_the_same_request_at_once_all_get_the_one_rollout(
    store: SqlStore, open_store: OpenStore
) -> None:
    stores = (store, store, open_store("replica-b"), open_store("replica-b"))
    made = await asyncio.gather(
        *(
            each.create(a_rollout(id=f"r-{n}"), an_event(id=f"r-{n}-1", rollout=f"r-{n}"), "key")
            for n, each in enumerate(stores)
        )
    )
    assert len({rollout.id for rollout in made}) == 1
    assert len(await store.history(made[0].id)) == 1


# --- accept ------------------------------------------------------------------------------------------------


async def test_an_accepted_command_waits_and_makes_the_rollout_due(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await as_it_became(store, a_rollout())
    assert await store.accept(a_command()) == a_rollout(generation=2)
    assert await store.rollout("r-1") == a_rollout(generation=2)
    assert await store.commands("r-1") == [a_command()]
    assert len(await store.claim_due(LATER, 10)) == 1


async def test_commands_come_the_most_urgent_first(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    asked = (Verb.APPROVE, Verb.ABORT, Verb.PROMOTE, Verb.PAUSE)
    for generation, verb in enumerate(asked, start=1):
        await store.accept(a_command(id=f"c-{verb}", verb=verb, generation=generation))
    assert [command.verb for command in await store.commands("r-1")] == [
        Verb.ABORT,
        Verb.PAUSE,
        Verb.PROMOTE,
        Verb.APPROVE,
    ]


async def test_a_command_sent_twice_under_one_key_acts_once(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await store.accept(a_command(idempotency_key="key"))
    again = await store.accept(a_command(id="c-2", at=LATER + timedelta(hours=1), idempotency_key="key"))
    assert again.generation == 2
    assert [command.id for command in await store.commands("r-1")] == ["c-1"]


async def test_a_repeated_command_is_answered_even_after_the_rollout_has_ended(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await store.accept(a_command(verb=Verb.ABORT, idempotency_key="key"))
    await as_it_became(store, a_rollout(phase=Phase.ROLLED_BACK, generation=3))
    again = await store.accept(a_command(id="c-2", verb=Verb.ABORT, idempotency_key="key"))
    assert again.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    "but", [{"generation": 2}, {"author": "bob"}, {"reason": "tea"}], ids=lambda but: next(iter(but))
)
async def test_another_command_under_the_same_key_is_refused(store: SqlStore, but: dict[str, object]) -> None:
    await store.create(a_rollout(), an_event(), None)
    await store.accept(a_command(idempotency_key="key"))
    with pytest.raises(ConflictError, match=r"key key .* rollout r-1 is pending at generation 2"):
        await store.accept(a_command(id="c-2", idempotency_key="key", **but))


async def test_a_key_counts_for_one_verb_of_one_rollout(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await store.create(a_rollout(id="r-2", canary="3"), an_event(id="r-2-1", rollout="r-2"), None)
    await store.accept(a_command(idempotency_key="key"))
    await store.accept(a_command(id="c-2", rollout="r-2", idempotency_key="key"))
    await store.accept(a_command(id="c-3", verb=Verb.ABORT, generation=2, idempotency_key="key"))
    assert len(await store.commands("r-1")) == 2


async def test_a_stale_generation_is_refused_with_the_present_state(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await as_it_became(store, a_rollout(phase=Phase.PROGRESSING, step=1, generation=2))
    with pytest.raises(ConflictError, match="names generation 1, but rollout r-1 is progressing at generation 2"):
        await store.accept(a_command())
    assert not await store.commands("r-1")


async def test_the_same_verb_does_not_wait_twice(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await store.accept(a_command())
    with pytest.raises(ConflictError, match=r"ann asked to pause already .* pending at generation 2"):
        await store.accept(a_command(id="c-2", generation=2, author="bob"))


async def test_a_verb_may_be_asked_again_once_it_was_obeyed(store: SqlStore) -> None:
    await store.create(a_rollout(), an_event(), None)
    await store.accept(a_command())
    lease = await store.claim("support-agent", NOON)
    assert lease
    await store.record(lease, Record(obeyed=("c-1",)))
    await store.accept(a_command(id="c-2", generation=2))
    assert [command.id for command in await store.commands("r-1")] == ["c-2"]


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.is_final])
async def test_a_rollout_that_has_ended_takes_no_command_and_says_how_it_ended(store: SqlStore, phase: Phase) -> None:
    await store.create(a_rollout(phase=phase), an_event(), None)
    with pytest.raises(ConflictError, match=f"too late: rollout r-1 is {phase} at generation 1"):
        await store.accept(a_command())


async def test_a_command_to_an_unknown_rollout_finds_nothing(store: SqlStore) -> None:
    with pytest.raises(NotFoundError, match="no rollout r-1"):
        await store.accept(a_command())


async def test_of_many_commands_that_name_one_generation_exactly_one_wins(
    store: SqlStore, open_store: OpenStore
) -> None:
    await store.create(a_rollout(), an_event(), None)
    stores = (store, store, open_store("replica-b"), open_store("replica-c"), open_store("replica-d"))
    answers = await asyncio.gather(
        *(each.accept(a_command(id=f"c-{verb}", verb=verb)) for each, verb in zip(stores, Verb, strict=True)),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError"] * 4 + ["Rollout"]
    assert (await store.rollout("r-1")).generation == 2
    assert len(await store.commands("r-1")) == 1


async def test_commands_and_ticks_at_once_never_give_one_generation_to_two_states(
    store: SqlStore, open_store: OpenStore
) -> None:
    await store.create(a_rollout(), an_event(), None)
    lease = await store.claim("support-agent", NOON)
    assert lease

    async def command_until_accepted(each: SqlStore, verb: Verb) -> int:
        while True:
            generation = (await each.rollout("r-1")).generation
            try:
                return (await each.accept(a_command(id=f"c-{verb}", verb=verb, generation=generation))).generation
            except ConflictError:
                continue

    async def tick() -> None:
        for step in (1, 2, 3):
            (rollout,) = await store.unfinished("support-agent")
            moved = replace(rollout, phase=Phase.PROGRESSING, step=step, generation=rollout.generation + 1)
            await store.record(lease, Record(rollout=moved, due_at=LATER))

    people = (open_store(f"replica-{verb}") for verb in Verb)
    *told, _ = await asyncio.gather(*map(command_until_accepted, people, Verb), tick())

    assert len(set(told)) == 5, "each command was told a generation of its own"
    after = await store.rollout("r-1")
    assert (after.step, after.generation) == (3, 1 + 5 + 3)
