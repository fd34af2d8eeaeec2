"""Two hands on the wheel: restoring goes on ever more rarely, and is told once and then by reminders."""

from dataclasses import replace
from datetime import timedelta

from builders import NOON, a_policy
from foundry_rollouts.core.deciding.decide import decide
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.model.contest import QUIET, Contest, because_restored, restored, still
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnDrift
from unit.core.deciding.test_decide import on_step, seen

MINUTE = timedelta(minutes=1)


def test_a_drift_that_comes_back_is_restored_ever_more_rarely_and_says_whose_hands_are_on_the_wheel() -> None:
    rollout, restores, told = on_step(policy=a_policy(on_drift=OnDrift.RESTORE)), [], 0
    for second in range(600):
        now = NOON + timedelta(seconds=second)
        decision = decide(rollout, seen(now=now, drift="somebody moved it"))
        rollout = after(rollout, decision, now)
        if decision.move is Move.RESTORE:
            restores.append(second)
            assert rollout.contest is not None
            told += rollout.contest.told_at == now
        else:
            assert decision.move is Move.HOLD
            assert "two controllers set this routing" in rollout.because
            assert rollout.waiting_for == "the other controller to stop"
    assert restores == [0, 10, 30, 70, 150, 310]
    assert told == 1


def test_a_change_of_our_own_that_arrives_late_is_no_contest() -> None:
    rollout = on_step(policy=a_policy(on_drift=OnDrift.RESTORE))
    decision = decide(rollout, seen(drift="moved", late_change="a change of ours arrived late"))
    assert decision == Decision(Move.RESTORE, "a change of ours arrived late")
    assert after(rollout, decision, NOON).contest is None


def test_a_contest_is_told_again_by_the_reminders_and_begins_anew_after_quiet() -> None:
    contest: Contest | None = None
    told = 0
    for minute in range(0, 61, 5):
        contest = restored(contest, NOON + minute * MINUTE)
        told += contest.told_at == contest.at
    assert (told, contest and contest.times) == (3, 13)
    assert contest is not None
    assert still(contest, contest.at + QUIET - MINUTE) is contest
    later = contest.at + QUIET
    assert restored(contest, later) == Contest(later, later, later)


def test_the_sentence_counts() -> None:
    contest = restored(None, NOON)
    assert because_restored("moved", None, NOON) == (
        "moved: restored. If it is changed again, two controllers set this routing: stop the other one, "
        "or set on-drift: pause"
    )
    assert because_restored("moved", replace(contest, times=3), NOON + MINUTE) == (
        "moved: restored, after 3 times since 12:00:00. Two controllers set this routing: stop the other one, or set"
        " on-drift: pause"
    )
