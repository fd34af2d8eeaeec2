"""Starting a rollout, and trying a canary again."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import FakePolicies, record, stand
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import ConflictError, NotFoundError, UsageError
from foundry_rollouts.operations.start import Retry, Start, retry, start, trial_of
from foundry_rollouts.ports import Record
from foundry_rollouts.store.store import SqlStore

POLICIES = FakePolicies((a_policy(), a_policy(name="careful", agents=("other",))))
WANTED = Start(id="r-7", agent="support-agent", version="2", author="alice")


async def test_a_started_rollout_waits_with_its_first_event(store: SqlStore) -> None:
    rollout = await start(store, POLICIES, WANTED, NOON)

    assert (rollout.phase, rollout.stable, rollout.canary) == (Phase.PENDING, "1", "2")
    assert rollout.policy.name == "support"
    [event] = await store.history("r-7")
    assert (event.id, event.kind, event.author) == ("r-7:1", "rollout.created", "alice")
    assert event.because == rollout.because == "alice asked for version 2"
    assert event.weights == {"1": 100}
    assert (await store.rollout("r-7")).event_count == 1


async def promoted(store: SqlStore) -> None:
    """Let version 2 take the place of version 1."""
    await start(store, POLICIES, WANTED, NOON)
    ended = replace(await store.rollout("r-7"), phase=Phase.PROMOTED, ended_at=NOON)
    await record(store, "support-agent", Record(rollout=ended, stable="2"))


async def test_the_version_that_was_stable_before_goes_back_without_small_steps(store: SqlStore) -> None:
    await promoted(store)

    rollout = await start(store, POLICIES, Start("r-8", "support-agent", "1", "bob"), NOON)
    assert rollout.is_revert
    assert rollout.because == "bob asked for version 1, which was stable before version 2"
    assert (await store.rollout("r-8")).is_revert


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.DISABLED])
async def test_the_version_that_was_stable_before_takes_every_step_once_its_return_led_back(
    store: SqlStore, phase: Phase
) -> None:
    await promoted(store)
    await start(store, POLICIES, Start("r-8", "support-agent", "1", "bob"), NOON + timedelta(minutes=1))
    ended = replace(await store.rollout("r-8"), phase=phase, ended_at=NOON)
    await record(store, "support-agent", Record(rollout=ended))

    rollout = await start(store, POLICIES, Start("r-9", "support-agent", "1", "bob"), NOON + timedelta(minutes=2))
    assert not rollout.is_revert
    assert rollout.because == "bob asked for version 1"


async def test_any_other_version_takes_every_step(store: SqlStore) -> None:
    assert not (await start(store, POLICIES, Start("r-6", "support-agent", "3", "bob"), NOON)).is_revert
    ended = replace(await store.rollout("r-6"), phase=Phase.SUPERSEDED, ended_at=NOON)
    await record(store, "support-agent", Record(rollout=ended))
    await promoted(store)

    assert not (await start(store, POLICIES, Start("r-8", "support-agent", "3", "bob"), NOON)).is_revert


async def test_a_named_policy_comes_before_the_one_that_names_the_agent(store: SqlStore) -> None:
    wanted = Start(id="r-7", agent="support-agent", version="2", author="alice", policy="careful")

    assert (await start(store, POLICIES, wanted, NOON)).policy.name == "careful"


async def test_rollouts_of_two_versions_queue(store: SqlStore) -> None:
    await start(store, POLICIES, WANTED, NOON)
    await start(store, POLICIES, Start("r-8", "support-agent", "3", "bob"), NOON)

    assert [rollout.canary for rollout in await store.unfinished("support-agent")] == ["2", "3"]


async def test_an_agent_that_nobody_has_seen_is_refused(store: SqlStore) -> None:
    with pytest.raises(NotFoundError, match="'nobody' is not known"):
        await start(store, POLICIES, Start("r-7", "nobody", "2", "alice"), NOON)


async def test_an_agent_that_is_gone_is_refused(store: SqlStore) -> None:
    await store.see_agents([], NOON + timedelta(seconds=1))

    with pytest.raises(NotFoundError, match="is gone"):
        await start(store, POLICIES, WANTED, NOON)


async def test_an_agent_without_a_policy_is_refused(store: SqlStore) -> None:
    with pytest.raises(UsageError, match="no policy names agent 'support-agent'"):
        await start(store, FakePolicies(()), WANTED, NOON)


async def test_the_stable_version_is_refused(store: SqlStore) -> None:
    with pytest.raises(ConflictError, match="version 1 is the stable version"):
        await start(store, POLICIES, Start("r-7", "support-agent", "1", "alice"), NOON)


async def test_a_version_that_moves_by_itself_is_refused(store: SqlStore) -> None:
    with pytest.raises(UsageError, match="name one version"):
        await start(store, POLICIES, Start("r-7", "support-agent", "@latest", "alice"), NOON)


async def test_a_version_on_trial_gets_no_second_trial(store: SqlStore) -> None:
    await start(store, POLICIES, WANTED, NOON)

    with pytest.raises(ConflictError, match="on trial already: rollout r-7"):
        await start(store, POLICIES, Start("r-8", "support-agent", "2", "bob"), NOON)


async def test_the_same_key_again_starts_nothing_again(store: SqlStore) -> None:
    asked = [Start(f"r-{n}", "support-agent", "2", "alice", idempotency_key="build 41") for n in range(3)]

    made = await asyncio.gather(*(start(store, POLICIES, each, NOON) for each in asked))

    assert len({rollout.id for rollout in made}) == 1
    assert len(await store.unfinished("support-agent")) == 1
    assert len(await store.history(made[0].id)) == 1


async def test_a_key_that_served_another_request_is_refused(store: SqlStore) -> None:
    await start(store, POLICIES, Start("r-7", "support-agent", "2", "alice", idempotency_key="k"), NOON)

    with pytest.raises(ConflictError, match="used for another request"):
        await start(store, POLICIES, Start("r-8", "support-agent", "3", "alice", idempotency_key="k"), NOON)


def ended(phase: Phase = Phase.ROLLED_BACK, rollout_id: str = "r-1") -> Rollout:
    policy = a_policy(name="old")
    return a_rollout(id=rollout_id, phase=phase, ended_at=NOON, generation=4, policy=policy)


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.FAILED, Phase.DISABLED, Phase.SUPERSEDED, Phase.ABORTED])
async def test_what_ended_badly_can_be_tried_again_under_its_policy(store: SqlStore, phase: Phase) -> None:
    await stand(store, ended(phase))

    again = await retry(store, Retry("r-9", "r-1", 4, "bob", "the fault was ours"), NOON)

    assert (again.id, again.canary, again.phase) == ("r-9", "2", Phase.PENDING)
    assert again.policy == a_policy(name="old")
    assert again.because == "bob asked to try version 2 again after rollout r-1: the fault was ours"


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PROGRESSING, Phase.PAUSED, Phase.PROMOTED])
async def test_what_has_not_ended_badly_cannot_be_tried_again(store: SqlStore, phase: Phase) -> None:
    await stand(store, a_rollout(phase=phase, generation=4))

    with pytest.raises(ConflictError, match=f"r-1 is {phase.value}"):
        await retry(store, Retry("r-9", "r-1", 4, "bob"), NOON)


async def test_a_retry_of_an_older_generation_is_refused(store: SqlStore) -> None:
    await stand(store, ended())

    with pytest.raises(ConflictError, match="at generation 4, not 3"):
        await retry(store, Retry("r-9", "r-1", 3, "bob"), NOON)


async def test_two_people_who_retry_at_once_start_one_rollout(store: SqlStore) -> None:
    await stand(store, ended())
    asked = [Retry("r-8", "r-1", 4, "alice"), Retry("r-9", "r-1", 4, "bob")]

    answers = await asyncio.gather(*(retry(store, each, NOON) for each in asked), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["OnTrialError", "Rollout"]
    assert len(await store.unfinished("support-agent")) == 1


async def test_the_same_retry_again_is_answered_with_what_it_made(store: SqlStore) -> None:
    await stand(store, ended())

    made = [await retry(store, Retry(f"r-{n}", "r-1", 4, "bob", None, "key"), NOON) for n in (8, 9)]

    assert [rollout.id for rollout in made] == ["r-8", "r-8"]


async def test_only_the_newest_trial_of_a_canary_is_tried_again(store: SqlStore) -> None:
    await stand(store, ended())
    await stand(store, ended(rollout_id="r-2"))

    with pytest.raises(ConflictError, match="tried again already as r-2, which is rolled_back"):
        await retry(store, Retry("r-9", "r-1", 4, "bob"), NOON)


async def test_a_canary_that_is_stable_by_now_is_not_tried_again(store: SqlStore) -> None:
    await stand(store, ended())
    await record(store, "support-agent", Record(stable="2"))

    with pytest.raises(ConflictError, match="version 2 is the stable version"):
        await retry(store, Retry("r-9", "r-1", 4, "bob"), NOON)


async def test_the_trial_of_a_version_is_its_newest_rollout(store: SqlStore) -> None:
    for number in (1, 2):
        await stand(store, ended(rollout_id=f"r-{number}"))

    found = await trial_of(store, "support-agent", "2")

    assert found is not None
    assert found.id == "r-2"
    assert await trial_of(store, "support-agent", "3") is None
