"""How far a rollout is: what it waits for, what happens otherwise, what harm was done."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import stand
from foundry_rollouts.core.deciding.queue import QUEUED
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.lists import one_rollout_view
from foundry_rollouts.operations.progress import Progress, progress_of
from foundry_rollouts.store.store import SqlStore
from small_world import SmallWorld
from users_world import UsersSource, a_users_policy

STEPS = (WeightStep(10, min=timedelta(minutes=30), max=timedelta(hours=2)), ApprovalStep(), WeightStep(100))
BEGUN = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, policy=a_policy(steps=STEPS))


async def progress_in(store: SqlStore, world: SmallWorld) -> Progress:
    found = (await one_rollout_view(store, "r-1", world.time)).progress
    assert found is not None
    return found


async def test_a_step_waits_for_each_proof_its_time_and_then_the_next_thing(store: SqlStore) -> None:
    world = SmallWorld(lambda _: store, policy=a_policy(steps=STEPS))
    await world.begin()
    await world.run(ticks=3)
    progress = await progress_in(store, world)
    proof, bake, then = progress.waits_for
    assert (proof.kind, proof.state, proof.gate, proof.need) == ("evidence", "now", "error-rate", 20)
    assert proof.have is not None
    assert proof.missing_calls is not None
    assert proof.missing_calls > 0
    assert (bake.kind, bake.state, bake.need) == ("bake", "now", 1800)
    assert bake.have == 20
    assert bake.seconds == 1780
    assert bake.until == world.time + timedelta(seconds=1780)
    assert (then.kind, then.state, then.because) == ("approval", "later", "then a person approves")
    assert progress.otherwise is not None
    assert progress.otherwise.at == world.time + timedelta(hours=2) - timedelta(seconds=20)
    assert progress.otherwise.because == "not proved by then: it holds; it never goes on without proof"


async def test_the_harm_is_what_failed_beyond_what_stable_would_have_failed(store: SqlStore) -> None:
    world = SmallWorld(lambda _: store, policy=a_users_policy(), bad_from=50, watched_by=UsersSource)
    await world.begin()
    await world.run(ticks=14)
    progress = await progress_in(store, world)
    harm = progress.harm
    assert harm is not None
    assert harm.stratum == "http"
    assert harm.excess == harm.failed > 0
    assert harm.expected == 0
    assert progress.harm_log10 is not None
    assert progress.harm_log10 >= progress.harm_enough_log10
    assert progress.waits_for == ()
    assert progress.otherwise is None
    assert [gate.verdict for gate in progress.gates] == ["fail"]


@pytest.mark.parametrize(
    ("but", "kind"),
    [
        ({"phase": Phase.PENDING, "step": 0, "waiting_for": "the controller to begin"}, "start"),
        ({"phase": Phase.PENDING, "step": 0, "waiting_for": QUEUED}, "queue"),
        ({"phase": Phase.PAUSED, "paused_at": NOON, "waiting_for": "a person: resume or abort"}, "person"),
    ],
)
async def test_who_waits_for_something_else_says_so(store: SqlStore, but: dict[str, object], kind: str) -> None:
    await stand(store, replace(BEGUN, **but))  # type: ignore[arg-type]
    (wait,) = (await _progress(store)).waits_for
    assert (wait.kind, wait.state, wait.because) == (kind, "now", but["waiting_for"])


async def test_an_approval_is_waited_for_until_the_deadline(store: SqlStore) -> None:
    await stand(store, replace(BEGUN, step=2, waiting_for="a person: approve or abort"))
    progress = await _progress(store)
    approval, then = progress.waits_for
    assert (approval.kind, approval.state) == ("approval", "now")
    assert (then.kind, then.because) == ("weight", "then weight 100")
    assert progress.otherwise is not None
    assert progress.otherwise.at == NOON + timedelta(hours=6)
    assert progress.otherwise.because == "not done by then: it pauses at weight 10 and waits for a person"


@pytest.mark.parametrize(
    ("silence", "words"),
    [
        (OnNoEvidence.PAUSE, "it pauses"),
        (OnNoEvidence.ROLLBACK, "it rolls back"),
        (OnNoEvidence.ADVANCE_IF_NOT_GROSS, "it goes on only if less than 16 points worse is proved"),
    ],
)
def test_what_happens_without_proof_is_the_policys(silence: OnNoEvidence, words: str) -> None:
    rollout = replace(BEGUN, policy=a_policy(steps=STEPS, on_no_evidence=silence))
    otherwise = progress_of(rollout, None, NOON).otherwise
    assert otherwise is not None
    assert otherwise.because.startswith(f"not proved by then: {words}")


async def _progress(store: SqlStore) -> Progress:
    found = (await one_rollout_view(store, "r-1", NOON)).progress
    assert found is not None
    return found
