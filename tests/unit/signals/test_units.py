"""Which unit a call belongs to, in which window it counts, and what a session counts at a step."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Measurement, Sample, Window
from foundry_rollouts.signals.samples import Begun, SampleBuffer
from foundry_rollouts.signals.units import Seen, StepMemory, together
from foundry_rollouts.signals.windows import ROUTING_TIME
from unit.signals.session_world import a_watched

FAILED = Sample(cause="HTTP 500")
REFUSED = Sample(cause="HTTP 404")
WELL = Sample()


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def a_window(start: float, end: float) -> Window:
    return Window(at(start), at(end))


def a_call(seen: float, sample: Sample = WELL, session: str | None = "s", **but: Any) -> Seen:
    """Return a call of the canary that began when it was seen."""
    return replace(Seen(at(seen), "logs", "2", sample, at(seen), session), **but)


def a_buffer(*seen: Seen) -> SampleBuffer:
    buffer = SampleBuffer.of("logs")
    for each in seen:
        buffer.add(each)
    return buffer


def told(measured: Sequence[Measurement]) -> list[tuple[float, float, int, int]]:
    """Return each measurement's window in seconds, and what the canary's calls came to in it."""
    return [
        (
            (each.window.start - NOON).total_seconds(),
            (each.window.end - NOON).total_seconds(),
            each.canary.calls,
            each.canary.failures,
        )
        for each in measured
    ]


def test_calls_of_one_session_are_one_unit_in_a_window() -> None:
    calls = [a_call(second, FAILED if second == 2 else WELL) for second in range(5)]
    calls.append(a_call(3, session="another", version="1"))
    (seen,) = a_buffer(*calls).collect(a_watched(), a_window(0, 10))
    assert (seen.canary.calls, seen.canary.failures, seen.canary.causes) == (1, 1, (("HTTP 500", 1),))
    assert (seen.stable.calls, seen.stable.failures) == (1, 0)


def test_calls_without_a_session_stand_alone() -> None:
    (seen,) = a_buffer(*(a_call(second, FAILED, None) for second in range(5))).collect(a_watched(), a_window(0, 10))
    assert (seen.canary.calls, seen.canary.failures) == (5, 5)


def test_a_session_that_failed_counts_no_more_at_this_step_and_does_at_the_next() -> None:
    buffer, rollout = a_buffer(a_call(1, FAILED), a_call(2)), a_watched()
    assert told(buffer.collect(rollout, a_window(0, 10))) == [(0, 10, 1, 1)]
    buffer.add(a_call(11, FAILED))
    buffer.add(a_call(12, session="another"))
    assert told(buffer.collect(rollout, a_window(10, 20))) == [(10, 20, 1, 0)]
    buffer.add(a_call(21, FAILED))
    assert told(buffer.collect(replace(rollout, step_started_at=at(20)), a_window(20, 30))) == [(20, 30, 1, 1)]


def test_a_session_that_did_well_counts_once_at_a_step_and_is_heard_of_in_each_window() -> None:
    """Five long sessions that go on well are five, however long they do."""
    buffer, rollout, counted = a_buffer(), a_watched(), []
    for start in (0, 10, 20):
        buffer.add(a_call(start + 1))
        buffer.add(a_call(start + 2))
        (seen,) = buffer.collect(rollout, a_window(start, start + 10))
        counted.append((seen.canary.calls, seen.canary.heard))
    assert counted == [(1, 2), (0, 2), (0, 2)]
    buffer.add(a_call(31, FAILED))
    assert told(buffer.collect(rollout, a_window(30, 40))) == [(30, 40, 1, 1)]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([WELL, WELL], Sample()),
        ([WELL, REFUSED], REFUSED),
        ([REFUSED, FAILED], FAILED),
        ([Sample(cause="model rate limit"), REFUSED], Sample(cause="model rate limit")),
        ([Sample(cause="model rate limit"), FAILED], FAILED),
        ([Sample(has_log_error=True), WELL], Sample(has_log_error=True)),
        (
            [Sample(latency=timedelta(seconds=1)), Sample(latency=timedelta(seconds=3)), WELL],
            Sample(latency=timedelta(seconds=3)),
        ),
    ],
)
def test_of_several_calls_the_worst_speaks_for_the_session(samples: list[Sample], expected: Sample) -> None:
    assert together(samples) == expected


@pytest.mark.parametrize(
    ("sample", "word"), [(REFUSED, "client_errors"), (Sample(has_log_error=True), "log_errors")], ids=str
)
def test_what_is_no_failure_counts_once_for_a_session_which_may_fail_later(sample: Sample, word: str) -> None:
    buffer, counts = a_buffer(), []
    for start in (0, 10, 20):
        buffer.add(a_call(start + 1, sample))
        (seen,) = buffer.collect(a_watched(), a_window(start, start + 10))
        counts.append((seen.canary.calls, getattr(seen.canary, word), seen.canary.failures))
    assert counts == [(1, 1, 0), (0, 0, 0), (0, 0, 0)]
    buffer.add(a_call(31, FAILED))
    assert told(buffer.collect(a_watched(), a_window(30, 40))) == [(30, 40, 1, 1)]


def test_a_throttled_session_has_failed_unless_the_policy_ignores_that() -> None:
    rollout, throttled = a_watched(), Sample(cause="model rate limit")
    heedless = replace(rollout, policy=replace(rollout.policy, ignored_errors=(ErrorKind.RATE_LIMITED,)))
    for each, later in ((rollout, 0), (heedless, 1)):
        buffer = a_buffer(a_call(1, throttled))
        assert told(buffer.collect(each, a_window(0, 10))) == [(0, 10, 1, 1)]
        buffer.add(a_call(11, FAILED))
        assert told(buffer.collect(each, a_window(10, 20))) == [(10, 20, later, later)]


def test_a_late_call_counts_in_the_window_in_which_it_began() -> None:
    buffer, rollout = a_buffer(a_call(1)), a_watched()
    assert told(buffer.collect(rollout, a_window(0, 10))) == [(0, 10, 1, 0)]
    buffer.collect(rollout, a_window(10, 20))
    buffer.add(a_call(25, FAILED, "hung", began_at=at(4)))
    buffer.add(a_call(26, WELL, "hung too", began_at=at(19)))
    buffer.add(a_call(27, session="quick"))
    assert told(buffer.collect(rollout, a_window(20, 30))) == [(20, 30, 1, 0), (0, 10, 1, 1), (10, 20, 1, 0)]
    assert told(buffer.collect(rollout, a_window(30, 40))) == [(30, 40, 0, 0)]


def test_a_late_failure_of_a_session_that_counted_as_well_is_one_more_and_a_late_slow_call_only_slow() -> None:
    buffer, rollout = a_buffer(a_call(1, Sample(latency=timedelta(seconds=1)))), a_watched()
    buffer.collect(rollout, a_window(0, 10))
    slow = Sample(latency=timedelta(seconds=14))
    buffer.add(a_call(15, slow, began_at=at(1)))
    buffer.add(a_call(16, Sample(latency=timedelta(seconds=2)), "s", began_at=at(2)))
    _, late = buffer.collect(rollout, a_window(10, 20))
    assert late == Measurement("logs", a_window(0, 10), canary=replace(slow.as_counts(), calls=0))
    buffer.add(a_call(21, FAILED, began_at=at(3)))
    buffer.add(a_call(22, WELL, began_at=at(3)))
    assert told(buffer.collect(rollout, a_window(20, 30))) == [(20, 30, 0, 0), (0, 10, 1, 1)]


def test_what_began_before_the_step_is_left_out_however_late_it_ends() -> None:
    rollout = replace(a_watched(), step_started_at=at(12))
    buffer = a_buffer(a_call(13, FAILED, began_at=at(11)), a_call(14, FAILED, "in time", began_at=at(12)))
    assert told(buffer.collect(rollout, a_window(10, 20))) == [(10, 20, 1, 1)]


def test_after_a_restart_what_began_earlier_at_the_step_is_one_window() -> None:
    buffer, rollout = a_buffer(a_call(41, session=None, began_at=at(3))), a_watched()
    buffer.add(a_call(42, FAILED, None, began_at=at(33)))
    assert told(buffer.collect(rollout, a_window(40, 50))) == [(40, 50, 0, 0), (0, 40, 2, 1)]
    buffer.add(a_call(51, session=None, began_at=at(45)))
    buffer.add(a_call(52, session=None, began_at=at(39)))
    assert told(buffer.collect(rollout, a_window(50, 60))) == [(50, 60, 0, 0), (0, 40, 1, 0), (40, 50, 1, 0)]


def test_sessions_that_began_at_the_step_are_counted_by_the_version_that_they_met_once_the_routing_holds() -> None:
    buffer, rollout = a_buffer(), a_watched()
    routed = ROUTING_TIME.total_seconds()
    for second, version in ((routed - 1, "2"), (routed + 1, "2"), (routed + 2, "1"), (routed + 3, "7")):
        buffer.begun(Begun(at(second), "logs", version, at(second)))
    buffer.collect(rollout, a_window(0, 1))
    (seen,) = buffer.collect(rollout, a_window(1, 20))
    assert (seen.stable, seen.canary) == (Counts(new_sessions=1), Counts(new_sessions=1))
    (seen,) = buffer.collect(rollout, a_window(20, 30))
    assert (seen.stable, seen.canary) == (Counts(), Counts())


def test_of_more_than_it_may_keep_a_memory_forgets_the_oldest() -> None:
    memory = StepMemory[str, int](limit=2)
    for number, key in enumerate("abc"):
        memory.note(key, number)
    memory.begin(is_new_step=False, is_recorded=True)
    assert [key for key in "abc" if key in memory] == ["b", "c"]


SAMPLES = st.sampled_from([WELL, FAILED, REFUSED, Sample(has_log_error=True), Sample(latency=timedelta(seconds=2))])
CALLS = st.tuples(st.floats(0, 60), st.floats(0, 30), SAMPLES, st.sampled_from([None, "a", "b", "c"]))


@given(st.lists(CALLS, max_size=30), st.lists(st.booleans(), min_size=12, max_size=12))
def test_whichever_ticks_are_recorded_the_records_come_to_the_same_for_each_session(
    calls: list[tuple[float, float, Sample, str | None]], recorded: list[bool]
) -> None:
    """No call is lost or counted twice, and no session fails twice, whatever is never recorded and asked for again."""
    buffer, rollout, kept, start = SampleBuffer.of("logs"), a_watched(), Counts(), 0.0
    late = sorted(calls, key=lambda call: call[0] + call[1])
    for number, is_recorded in enumerate([*recorded, True]):
        end = (number + 1) * 8.0
        for began, lasts, sample, session in late:
            if end - 8 <= began + lasts < end:
                buffer.add(a_call(began + lasts, sample, session, began_at=at(began)))
        measured = buffer.collect(rollout, a_window(start, end))
        if is_recorded:
            kept, start = sum((each.canary for each in measured), kept), end
    alone = [sample for *_, sample, session in calls if session is None]
    sessions = {session for *_, sample, session in calls if session and sample == FAILED}
    assert kept.failures == len([sample for sample in alone if sample == FAILED]) + len(sessions)
    assert kept.calls >= len(alone) + len({session for *_, session in calls if session})
    assert kept.calls <= len(calls)
    assert kept.client_errors + kept.failures <= kept.calls
