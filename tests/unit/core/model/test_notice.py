"""What is announced, how loudly, and when it is said again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, an_event
from foundry_rollouts.core.model.notice import (
    Severity,
    Thread,
    closed,
    confirmed,
    ends_all,
    heard,
    is_reminded,
    phase_of,
    severity_of,
    state_of,
    subject_of,
)
from foundry_rollouts.core.model.rollout import Phase

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("kind", "severity", "again"),
    [
        ("rollout.rolled_back", Severity.CRITICAL, True),
        ("rollout.harmed", Severity.CRITICAL, True),
        ("rollout.paused", Severity.WARNING, True),
        ("rollout.held", Severity.WARNING, False),
        ("rollout.advanced", Severity.INFO, False),
        ("something.new", Severity.INFO, False),
    ],
)
def test_each_kind_has_its_severity_and_some_are_said_again(kind: str, severity: Severity, again: bool) -> None:
    event = an_event(kind=kind)
    assert (severity_of(event), is_reminded(event)) == (severity, again)


def test_who_is_waited_for_is_a_warning_that_is_said_again_and_of_a_pause_nothing_new() -> None:
    approval = an_event(kind="rollout.waiting", step=2, waits_for="approval")
    assert (severity_of(approval), is_reminded(approval)) == (Severity.WARNING, True)
    assert state_of(approval) == "rollout.waiting/2"
    person = replace(approval, waits_for="person")
    assert state_of(person) == state_of(an_event(kind="rollout.paused", step=2))


def test_a_state_is_of_a_rollout_and_its_step_or_of_an_agent() -> None:
    advanced = an_event(kind="rollout.advanced", step=2)
    drifted = an_event(kind="agent.drifted", rollout=None)
    assert (subject_of(advanced), state_of(advanced)) == ("r-1", "rollout.advanced/2")
    assert (subject_of(drifted), state_of(drifted)) == ("support-agent", "agent.drifted")
    assert ends_all(an_event(kind="rollout.acknowledged"))
    assert not ends_all(advanced)


@pytest.mark.parametrize(
    ("kind", "step", "phase"),
    [
        ("rollout.created", None, Phase.PENDING),
        ("rollout.started", 1, Phase.PROGRESSING),
        ("rollout.paused", 2, Phase.PAUSED),
        ("rollout.rolled_back", 2, Phase.ROLLED_BACK),
    ],
)
def test_an_event_tells_the_phase_after_it(kind: str, step: int | None, phase: Phase) -> None:
    assert phase_of(an_event(kind=kind, step=step)) is phase
    assert phase_of(an_event(kind=kind, step=step, rollout=None)) is None
    assert phase_of(an_event(kind="rollout.held", phase=phase.value)) is phase


def test_reminders_come_after_15_minutes_an_hour_four_hours_and_then_daily_whatever_repeats() -> None:
    thread, times = heard(None, NOON), []
    for _ in range(6):
        assert thread.due_at is not None
        times.append(thread.due_at - NOON)
        thread = confirmed(heard(thread, thread.due_at), thread.due_at, merged=1, is_reminded=True)
    hours = [time / timedelta(hours=1) for time in times]
    assert hours == [0, 0.25, 1, 4, 24, 48]


def test_what_is_not_reminded_is_said_once_and_again_at_the_next_time_only_if_it_happened_again() -> None:
    thread = confirmed(heard(None, NOON), NOON, merged=0, is_reminded=False)
    assert thread.due_at is None
    again = heard(thread, NOON + MINUTE)
    assert (again.due_at, again.repeats) == (NOON + 15 * MINUTE, 1)
    assert heard(again, NOON + 2 * MINUTE).repeats == 2
    assert heard(thread, NOON + 40 * MINUTE).due_at == NOON + 40 * MINUTE


def test_what_happens_while_a_message_is_on_its_way_is_said_at_the_next_time() -> None:
    thread = heard(heard(None, NOON), NOON + MINUTE)
    assert confirmed(thread, NOON + MINUTE, merged=0, is_reminded=False).due_at == NOON + 15 * MINUTE
    assert confirmed(thread, NOON + MINUTE, merged=1, is_reminded=False).due_at is None


def test_a_state_that_is_over_is_announced_if_it_was_not_yet_and_never_reminded() -> None:
    waiting = heard(None, NOON)
    assert closed(waiting, NOON + MINUTE).due_at == NOON
    said = confirmed(waiting, NOON, merged=0, is_reminded=True)
    assert closed(said, NOON + MINUTE).due_at is None
    assert confirmed(closed(waiting, NOON), NOON, merged=0, is_reminded=True).due_at is None


def test_a_state_that_returns_soon_goes_on_and_later_it_is_new() -> None:
    over = closed(confirmed(heard(None, NOON), NOON, merged=0, is_reminded=True), NOON + MINUTE)
    soon = heard(over, NOON + 2 * MINUTE)
    assert (soon.first_at, soon.due_at, soon.closed_at) == (NOON, NOON + 15 * MINUTE, None)
    late = heard(over, NOON + 16 * MINUTE)
    assert late == Thread(first_at=NOON + 16 * MINUTE, due_at=NOON + 16 * MINUTE)
    never_said = replace(over, said_at=None, due_at=NOON)
    assert heard(never_said, NOON + 60 * MINUTE).due_at == NOON
