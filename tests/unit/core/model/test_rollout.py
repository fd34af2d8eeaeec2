"""The record of a rollout: where it stands, and how old it is."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, UnconfirmedChange

MINUTE = timedelta(minutes=1)


def at(minute: float) -> datetime:
    return NOON + minute * MINUTE


@pytest.mark.parametrize(
    ("step", "weight", "waits", "is_last"),
    [(0, 0, False, False), (1, 10, False, False), (2, 10, True, False), (3, 100, False, True)],
)
def test_a_step_has_its_weight_and_an_approval_keeps_the_one_before(
    step: int, weight: int, waits: bool, is_last: bool
) -> None:
    rollout = a_rollout(step=step, policy=a_policy(steps=(WeightStep(10), ApprovalStep(), WeightStep(100))))
    assert (rollout.weight, rollout.waits_for_approval, rollout.is_on_last_step) == (weight, waits, is_last)
    assert rollout.present_step == (rollout.policy.steps[step - 1] if step else None)


def test_a_change_without_an_answer_may_arrive_for_an_hour() -> None:
    old, new = UnconfirmedChange((("2", 10),), NOON), UnconfirmedChange((("2", 50),), at(60))
    for sent_at, remembered in ((at(60) - timedelta(seconds=1), 2), (at(60), 1)):
        rollout = a_rollout().with_unconfirmed(old).with_unconfirmed(replace(new, sent_at=sent_at))
        assert len(rollout.unconfirmed_changes) == remembered


def test_what_has_not_begun_has_no_age() -> None:
    assert a_rollout().age(at(9)) == a_rollout().step_age(at(9)) == timedelta(0)


def test_neither_the_step_nor_the_rollout_ages_in_a_pause() -> None:
    rollout = a_rollout(started_at=NOON, step_started_at=at(2), paused_at=at(5))
    assert (rollout.age(at(9)), rollout.step_age(at(9))) == (5 * MINUTE, 3 * MINUTE)


def test_the_age_counts_anew_once_a_person_resumed() -> None:
    rollout = a_rollout(started_at=NOON, step_started_at=at(2), resumed_at=at(6))
    assert (rollout.age(at(9)), rollout.step_age(at(9))) == (3 * MINUTE, 7 * MINUTE)


def test_a_step_has_baked_and_is_overdue_from_the_very_minute_on() -> None:
    rollout = a_rollout(step=1, step_started_at=NOON)
    tick = timedelta(seconds=1)
    assert [rollout.has_baked(at(1) + early) for early in (-tick, 0 * tick)] == [False, True]
    assert [rollout.is_step_overdue(at(10) + early) for early in (-tick, 0 * tick)] == [False, True]


def test_a_step_without_a_limit_is_never_overdue_and_an_approval_bakes_no_time() -> None:
    steps = (WeightStep(10), ApprovalStep(), WeightStep(100))
    for step in (1, 2):
        rollout = a_rollout(step=step, step_started_at=NOON, policy=a_policy(steps=steps))
        assert rollout.has_baked(NOON)
        assert not rollout.is_step_overdue(at(1e6))


def test_what_is_not_pending_progressing_or_paused_is_final() -> None:
    going_on = {phase for phase in Phase if not phase.is_final}
    assert going_on == {Phase.PENDING, Phase.PROGRESSING, Phase.PAUSED}


def test_a_rollout_begins_pending_before_its_first_step() -> None:
    rollout = a_rollout()
    assert (rollout.phase, rollout.step, rollout.generation, rollout.because) == (Phase.PENDING, 0, 1, "created")
    assert rollout.event_count == 0
