"""Which command makes sense when, and that it acts once."""

import asyncio

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import stand
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import ConflictError, NotFoundError
from foundry_rollouts.operations.commands import command, refusal_of
from foundry_rollouts.store.store import SqlStore


def asked(verb: Verb, generation: int = 3, **but: str) -> Command:
    given = {"id": "c-1", "rollout": "r-1", "author": "alice"} | but
    return Command(verb=verb, generation=generation, at=NOON, **given)


def a_standing(phase: Phase, **but: object) -> Rollout:
    return a_rollout(phase=phase, step=0 if phase is Phase.PENDING else 1, generation=3, **but)


def waiting_for_approval(phase: Phase = Phase.PROGRESSING) -> Rollout:
    steps = (WeightStep(10), ApprovalStep(), WeightStep(100))
    return a_rollout(phase=phase, step=2, generation=3, policy=a_policy(steps=steps))


@pytest.mark.parametrize(
    ("verb", "phase"),
    [
        (Verb.PAUSE, Phase.PENDING),
        (Verb.PAUSE, Phase.PROGRESSING),
        (Verb.RESUME, Phase.PAUSED),
        (Verb.PROMOTE, Phase.PROGRESSING),
        (Verb.PROMOTE, Phase.PAUSED),
        (Verb.ABORT, Phase.PENDING),
        (Verb.ABORT, Phase.PROGRESSING),
        (Verb.ABORT, Phase.PAUSED),
    ],
)
async def test_a_command_that_makes_sense_waits_for_the_next_tick(store: SqlStore, verb: Verb, phase: Phase) -> None:
    await stand(store, a_standing(phase))

    rollout = await command(store, asked(verb))

    assert (rollout.phase, rollout.generation) == (phase, 4)
    assert [each.verb for each in await store.commands("r-1")] == [verb]


@pytest.mark.parametrize(
    ("verb", "phase", "because"),
    [
        (Verb.PAUSE, Phase.PAUSED, "is paused already"),
        (Verb.RESUME, Phase.PENDING, "is pending, not paused"),
        (Verb.RESUME, Phase.PROGRESSING, "is progressing, not paused"),
        (Verb.APPROVE, Phase.PENDING, "waits for no approval"),
        (Verb.APPROVE, Phase.PROGRESSING, "waits for no approval"),
        (Verb.APPROVE, Phase.PAUSED, "resume it, then approve"),
        (Verb.PROMOTE, Phase.PENDING, "nothing to promote"),
    ],
)
async def test_a_command_that_makes_no_sense_is_refused_in_a_sentence(
    store: SqlStore, verb: Verb, phase: Phase, because: str
) -> None:
    await stand(store, a_standing(phase))

    with pytest.raises(ConflictError, match=because):
        await command(store, asked(verb))

    assert await store.commands("r-1") == []
    assert (await store.rollout("r-1")).generation == 3


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.is_final])
@pytest.mark.parametrize("verb", Verb)
def test_nothing_can_be_asked_of_a_rollout_that_has_ended(verb: Verb, phase: Phase) -> None:
    refusal = refusal_of(a_standing(phase), verb)

    assert refusal is not None
    assert f"has ended: it is {phase.value}" in refusal


def test_an_approval_that_is_waited_for_may_be_given() -> None:
    assert refusal_of(waiting_for_approval(), Verb.APPROVE) is None


def test_a_pause_outranks_an_approval() -> None:
    refusal = refusal_of(waiting_for_approval(Phase.PAUSED), Verb.APPROVE)

    assert refusal == "is paused: resume it, then approve"


async def test_of_two_commands_at_one_generation_the_second_is_stale(store: SqlStore) -> None:
    await stand(store, a_standing(Phase.PROGRESSING))
    both = (asked(Verb.PROMOTE), asked(Verb.PROMOTE, id="c-2", author="bob"))

    answers = await asyncio.gather(*(command(store, each) for each in both), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError", "Rollout"]
    assert len(await store.commands("r-1")) == 1


async def test_a_command_sent_twice_acts_once_even_when_it_was_obeyed_in_between(store: SqlStore) -> None:
    before = await stand(store, a_standing(Phase.PROGRESSING))
    await command(store, asked(Verb.PAUSE, idempotency_key="k"))
    await stand(store, a_rollout(phase=Phase.PAUSED, step=1, generation=5, event_count=before.event_count))

    again = await command(store, asked(Verb.PAUSE, id="c-2", idempotency_key="k"))

    assert (again.phase, again.generation) == (Phase.PAUSED, 5)
    assert len(await store.commands("r-1")) == 1


async def test_a_command_to_an_unknown_rollout_is_refused(store: SqlStore) -> None:
    with pytest.raises(NotFoundError):
        await command(store, asked(Verb.PAUSE))
