"""What a command is answered: what was done and read back, or what it waits for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout, an_event
from fakes import record, stand
from foundry_rollouts.core.model.approval import Approval, ApprovalStep
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.operations.answers import answer_to, settled
from foundry_rollouts.operations.commands import command
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore
from unit.operations.test_joining import FakeCatalogue

RUNNING = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, waiting_for="more calls")


async def ask(store: SqlStore, verb: Verb = Verb.ABORT, rollout: Rollout = RUNNING) -> Command:
    """Ask something of ``rollout`` as it stands, and return it."""
    seen = await stand(store, rollout)
    asked = Command("c-1", seen.id, verb, seen.generation, NOON, "kim")
    await store.accept(asked)
    return asked


async def obey(store: SqlStore, phase: Phase, **but: object) -> None:
    rollout = await store.rollout("r-1")
    then = replace(rollout, phase=phase, **but)  # type: ignore[arg-type]
    await record(store, rollout.agent, Record(rollout=then, obeyed=("c-1",)))


ENDED = {"ended_at": NOON, "ended_by": "kim"}


async def test_an_abort_that_was_done_tells_where_new_sessions_go(store: SqlStore) -> None:
    asked = await ask(store)
    assert not await settled(store, asked, timedelta(0))
    await obey(store, Phase.ROLLED_BACK, **ENDED)
    assert await settled(store, asked, timedelta(seconds=5))
    assert await answer_to(store, FakeCatalogue(), asked, NOON) == (
        "aborted: new sessions go to version 1 (100%), read back at 12:00:00 UTC"
    )


async def test_an_abort_of_what_never_began_says_that_nothing_was_moved(store: SqlStore) -> None:
    asked = await ask(store, rollout=a_rollout())
    await obey(store, Phase.ABORTED, **ENDED)
    assert (await answer_to(store, FakeCatalogue(), asked, NOON)).startswith(
        "aborted before it began, nothing was moved"
    )


@pytest.mark.parametrize(
    ("but", "says"),
    [
        ({"approvals": (Approval("Kim", NOON, "x"),)}, "approved, and 1 more must approve: new sessions go to"),
        ({"approvals": ()}, "not counted, 'foundry-rollouts rollout history r-1' says why: new sessions go to"),
        ({"step": 3}, "approved: new sessions go to"),
        ({"step": 4, "step_started_at": NOON + timedelta(seconds=1)}, "approved: new sessions go to"),
    ],
)
async def test_an_approval_is_answered_with_how_many_more_are_needed(
    store: SqlStore, but: dict[str, object], says: str
) -> None:
    two = ApprovalStep(count=2)
    policy = a_policy(steps=(WeightStep(10), two, WeightStep(50), two, WeightStep(100)))
    asked = await ask(store, Verb.APPROVE, replace(RUNNING, policy=policy, step=2, step_started_at=NOON))
    await obey(store, Phase.PROGRESSING, **but)
    assert (await answer_to(store, FakeCatalogue(), asked, NOON)).startswith(says)


async def test_what_cannot_be_done_yet_says_what_it_waits_for(store: SqlStore) -> None:
    asked = await ask(store)
    assert await answer_to(store, FakeCatalogue(), asked, NOON) == (
        "asked to abort, accepted and not done yet: it waits for more calls"
    )
    away = await answer_to(store, FakeCatalogue(is_away=True), asked, NOON)
    assert away.startswith("asked to abort, accepted and not done yet: it waits for the cloud to answer: agents.get")


async def test_an_abort_at_the_moment_of_promotion_names_the_way_back(store: SqlStore) -> None:
    asked = await ask(store)
    await obey(store, Phase.PROMOTED, ended_at=NOON)
    answer = await answer_to(store, FakeCatalogue(), asked, NOON)
    back = "'foundry-rollouts rollout start --agent support-agent --version 1' goes back at once"
    assert answer.startswith(f"abort came too late, version 2 is promoted; {back}")


async def test_an_abort_says_in_one_line_what_becomes_of_the_queue(store: SqlStore) -> None:
    queued = a_rollout(id="r-2", canary="3", created_at=NOON + timedelta(minutes=1))
    await store.create(queued, an_event(id="r-2:0", rollout="r-2"), None)
    asked = await ask(store)
    await record(
        store,
        "support-agent",
        Record(
            rollout=replace(await store.rollout("r-1"), phase=Phase.ROLLED_BACK, ended_at=NOON, ended_by="kim"),
            obeyed=("c-1",),
            holds_queue=True,
        ),
    )
    answer = await answer_to(store, FakeCatalogue(), asked, NOON)
    assert answer.endswith(
        "; version 3 was queued and waits until a person resumes it: foundry-rollouts rollout resume r-2"
    )


@pytest.mark.parametrize(
    ("phase", "help_"),
    [
        (Phase.PROMOTED, "'foundry-rollouts rollout start --agent support-agent --version 1' goes back at once"),
        (Phase.ROLLED_BACK, "--version OLD' goes back to the one before at once"),
        (Phase.DISABLED, "--version N' starts another version"),
    ],
)
async def test_an_abort_of_what_has_ended_names_the_command_that_helps(
    store: SqlStore, phase: Phase, help_: str
) -> None:
    seen = await stand(store, replace(RUNNING, phase=phase, ended_at=NOON))
    for generation in (seen.generation, 99):
        with pytest.raises(ConflictError) as refused:
            await command(store, Command("c-2", "r-1", Verb.ABORT, generation, NOON, "kim"))
        assert help_ in str(refused.value)


async def test_an_abort_asked_twice_names_where_to_look(store: SqlStore) -> None:
    await ask(store)
    generation = (await store.rollout("r-1")).generation
    with pytest.raises(ConflictError, match=r"kim asked to abort already .* 'foundry-rollouts rollout show r-1' shows"):
        await command(store, Command("c-2", "r-1", Verb.ABORT, generation, NOON, "ann"))
