"""The rules of all evidence together: what it begins with, and what is learnt beside the bets."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Capital
from foundry_rollouts.core.judging.constants import LONGEST_CALL, TIMED_CALLS
from foundry_rollouts.core.judging.evidence import (
    Evidence,
    accepting,
    at_new_weight,
    initial,
    longest_call,
    measured_traffic,
    strata,
    trouble_log,
    update,
    with_trouble,
)
from foundry_rollouts.core.judging.one_armed import CeilingProcess
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.split import Split
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window, bucket_of, seconds_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import Phase, PriorCounts, Rollout
from foundry_rollouts.core.model.sources import OutcomesConfig, PrometheusConfig, Sources
from unit.core.judging.made_evidence import a_track, capital_of

METRICS = PrometheusConfig(url="http://metrics.local", calls="calls", failures="failures")
EVERY = Sources(outcomes=OutcomesConfig(), prometheus=METRICS)
ERRORS = Gate(GateKind.ERROR_RATE, ("logs", "prometheus"))
LINES = Gate(GateKind.LOG_ERRORS, ("logs",))
SLOWNESS = Gate(GateKind.LATENCY, ("probe",))
TWENTY_TO_ONE = math.log10(20)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def watching(*gates: Gate, **but: Any) -> Policy:
    return a_policy(gates=gates, sources=EVERY, **but)


def on_trial(policy: Policy, step: int = 1) -> Rollout:
    return a_rollout(policy=policy, phase=Phase.PROGRESSING, step=step, started_at=NOON, step_started_at=NOON)


def told(source: str, canary: Counts, stable: Counts, end: float = 10.0) -> Measurement:
    return Measurement(source, Window(at(end - 10), at(end)), stable=stable, canary=canary)


def suspecting(log10: float = 0.0, stratum: str = "logs", **but: Any) -> Track:
    """Return a track whose stable version is suspected with that evidence."""
    process = replace(SharedTrouble().process, harm=capital_of(log10))
    shared = SharedTrouble(before=0.01, process=process, learnt=(500, 5))
    return a_track(stratum=stratum, shared=replace(shared, **but))


def test_each_track_begins_with_what_its_gate_can_use() -> None:
    policy = watching(replace(ERRORS, max=0.2), LINES, SLOWNESS, warm_up=timedelta(minutes=1))
    tracks = initial(policy).tracks
    errors, lines, (slow,) = tracks[:3], tracks[3:5], tracks[5:]
    assert all(track.strict and track.ceiling for track in errors)
    assert not any(track.strict or track.ceiling for track in (*lines, slow))
    assert all(track.pot for track in (*errors, *lines))
    assert slow.pot is None
    assert [track.shared is not None for track in tracks] == [True] * 3 + [False] * 3
    assert [track.spread is not None for track in tracks] == [False, False, True, False, False, False]
    assert [len(track.processes) for track in tracks] == [1, 1, 1, 1, 1, 3]
    assert not any(track.pot for track in initial(watching(ERRORS)).tracks)
    assert [track.stratum for track in initial(policy).beside] == ["logs", "logs/probe"]


def test_history_is_known_of_its_own_gate_and_source() -> None:
    history = [PriorCounts("error-rate", "logs", 1000, 30), PriorCounts("log-errors", "probe", 500, 100)]
    logs, _, metrics, *_ = initial(watching(ERRORS, LINES), history).tracks
    assert logs.processes[0].guess.known is not None
    assert metrics.processes[0].guess.known is None
    assert logs.shared is not None
    assert logs.shared.before == pytest.approx(0.03)
    assert metrics.shared == SharedTrouble()


def test_callers_mistakes_are_tracked_for_errors_where_the_source_tells_them() -> None:
    every = replace(ERRORS, sources=("probe", "logs", "outcomes", "prometheus"))
    assert [track.stratum for track in initial(watching(every, LINES)).beside] == ["probe", "logs", "outcomes"]
    assert {track.kind for track in initial(watching(every)).beside} == {ErrorKind.CLIENT_ERROR}
    assert initial(watching(every, ignored_errors=(ErrorKind.CLIENT_ERROR,))).beside == ()
    assert len(initial(watching(every, ignored_errors=(ErrorKind.RATE_LIMITED,))).beside) == 3


def test_logs_of_the_probe_are_a_stratum_where_the_probe_does_not_speak_for_itself() -> None:
    both = replace(ERRORS, sources=("probe", "logs"))
    assert strata(watching(both), both) == (("probe", 0.5), ("logs", 0.5))
    assert strata(watching(ERRORS), ERRORS) == (("logs", 0.25), ("logs/probe", 0.25), ("prometheus", 0.5))
    lines = replace(LINES, sources=("logs",))
    assert strata(watching(lines), lines) == (("logs", 0.5), ("logs/probe", 0.5))
    without = a_policy(gates=(lines,), sources=Sources(probe=None))
    assert strata(without, lines) == (("logs", 1.0),)


def test_a_measurement_goes_to_the_tracks_of_its_stratum() -> None:
    policy = watching(ERRORS, LINES)
    evidence = update(initial(policy), on_trial(policy), [told("logs", Counts(4, 1), Counts(16))], at(10))
    assert [track.total.canary_calls for track in evidence.tracks] == [4, 0, 0, 4, 0]
    assert [track.total.canary_calls for track in evidence.beside] == [4, 0]


def test_a_new_weight_begins_every_track_anew() -> None:
    policy = watching(ERRORS)
    evidence = update(initial(policy), on_trial(policy), [told("logs", Counts(4, 1), Counts(16))], at(10))
    evidence = replace(evidence, splits=(Split("logs", 1, 1),), is_proved=True, is_troubled=True)
    anew = at_new_weight(evidence)
    assert all(track.at_step.calls == 0 for track in (*anew.tracks, *anew.beside))
    assert (anew.splits, anew.is_proved, anew.is_troubled) == ((), True, True)
    assert anew.tracks[0].total == evidence.tracks[0].total


@pytest.mark.parametrize(
    ("calls", "seconds", "longest"),
    [
        (TIMED_CALLS - 1, 120, 60.0),
        (TIMED_CALLS, 120, seconds_of(bucket_of(timedelta(seconds=120)))),
        (TIMED_CALLS, 5, 60.0),
        (TIMED_CALLS, 5000, LONGEST_CALL.total_seconds()),
        (0, 5, 60.0),
    ],
)
def test_a_call_may_take_as_long_as_the_slowest_of_a_thousand_on_stable(
    calls: int, seconds: int, longest: float
) -> None:
    policy = watching(ERRORS, call_limit=None)
    slow = Counts(calls, latencies=((bucket_of(timedelta(seconds=seconds)), calls),) if calls else ())
    rollout = on_trial(policy)
    evidence = update(initial(policy), rollout, [told("logs", Counts(9, latencies=((99, 9),)), slow)], at(10))
    assert longest_call(evidence, rollout).total_seconds() == pytest.approx(longest)
    written = on_trial(replace(policy, call_limit=timedelta(seconds=3)))
    assert longest_call(evidence, written) == timedelta(seconds=3)


def test_one_in_a_thousand_is_the_slowest_that_counts() -> None:
    policy = watching(ERRORS, call_limit=None)
    quick, slow = bucket_of(timedelta(seconds=70)), bucket_of(timedelta(seconds=300))
    for many, bucket in ((1, quick), (2, slow)):
        stable = Counts(2000, latencies=((quick, 2000 - many - 1), (slow, many + 1)))
        evidence = update(initial(policy), on_trial(policy), [told("logs", Counts(), stable)], at(10))
        assert longest_call(evidence, on_trial(policy)).total_seconds() == pytest.approx(seconds_of(bucket))


def test_durations_of_stable_add_up_over_the_trial() -> None:
    policy = watching(ERRORS)
    evidence = initial(policy)
    for end in (10, 20):
        measured = told("logs", Counts(1, latencies=((50, 1),)), Counts(3, latencies=((40, 3),)), end)
        evidence = update(evidence, on_trial(policy), [measured], at(end))
    assert evidence.durations == ((40, 6),)


def busy(stratum: str, calls: int, stable: int = 100, watched: float = 60.0, **but: Any) -> Track:
    return a_track(**({"stratum": stratum, "watched": watched, "at_step": Tally(calls, 0, stable, 0)} | but))


def test_traffic_is_what_the_busiest_source_of_users_sees() -> None:
    assert measured_traffic(Evidence((busy("logs", 20), busy("outcomes", 500)))) == (
        600 / 60,
        busy("logs", 1).processes[0].guess.rate,
    )
    twice = Evidence((busy("logs", 200, watched=120.0), busy("outcomes", 150)))
    assert measured_traffic(twice) == (250 / 60, busy("logs", 1).processes[0].guess.rate)
    assert (measured_traffic(Evidence((busy("probe", 500),))) or (None,))[0] == 0.0
    assert (measured_traffic(Evidence((busy("probe", 500), busy("logs", 20)))) or (None,))[0] == 2.0


@pytest.mark.parametrize(
    ("track", "is_known"),
    [
        (busy("logs", 20), True),
        (busy("logs", 20, watched=59.9), False),
        (busy("logs", 20, stable=7), False),
        (busy("logs", 20, stable=8), True),
        (busy("logs", 20, trouble="429"), False),
        (busy("logs", 20, gate="log-errors"), False),
    ],
)
def test_traffic_is_known_after_a_minute_without_trouble(track: Track, is_known: bool) -> None:
    assert (measured_traffic(Evidence((track,))) is not None) is is_known
    assert measured_traffic(Evidence()) is None


def test_the_split_is_counted_once_the_weight_has_taken_effect() -> None:
    policy = watching(ERRORS, call_limit=timedelta(seconds=60))
    measured = [
        told("logs", Counts(new_sessions=2), Counts(new_sessions=8)),
        told("prometheus", Counts(9), Counts(9)),
        told("outcomes", Counts(), Counts(new_sessions=3)),
        told("probe", Counts(new_sessions=1), Counts()),
    ]
    early = update(initial(policy), on_trial(policy), measured, at(59.9))
    assert early.splits == ()
    splits = update(initial(policy), on_trial(policy), measured, at(60)).splits
    assert [(each.stratum, each.canary, each.stable) for each in splits] == [
        ("logs", 2, 8),
        ("outcomes", 0, 3),
        ("probe", 1, 0),
    ]
    known = replace(initial(policy), splits=(Split("logs", 5, 5),))
    (again,) = update(known, on_trial(policy), measured[:1], at(60)).splits
    assert (again.canary, again.stable) == (7, 13)
    assert again == Split("logs", 5, 5).after(2, 8, 10)
    assert update(known, on_trial(policy), measured, at(59.9)).splits == known.splits


@pytest.mark.parametrize(("log10", "is_troubled"), [(TWENTY_TO_ONE + 1e-9, True), (TWENTY_TO_ONE - 1e-6, False)])
def test_trouble_begins_at_twenty_to_one(log10: float, is_troubled: bool) -> None:
    evidence = with_trouble(Evidence((suspecting(log10), a_track(stratum="quiet", gate="log-errors"))))
    assert evidence.is_troubled is is_troubled
    shared = evidence.tracks[0].shared
    assert shared is not None
    assert (shared.minutes, shared.clock) == (((0, 0),), 0.0)
    assert evidence.tracks[1].shared is None


def test_trouble_ends_when_it_is_over_for_all_who_can_be_read() -> None:
    calm = suspecting(3, minutes=((50, 0), (0, 0)))
    loud = suspecting(3, "outcomes", minutes=((50, 40), (0, 0)))
    ended = with_trouble(Evidence((calm,), is_troubled=True))
    assert ended.is_troubled is False
    assert ended.tracks[0].shared == replace(calm.shared or SharedTrouble(), process=SharedTrouble().process)
    lasting = Evidence((calm, loud), is_troubled=True)
    assert with_trouble(lasting) == lasting
    assert with_trouble(Evidence((calm, replace(loud, trouble="429")), is_troubled=True)).is_troubled is False
    assert with_trouble(Evidence((calm, replace(loud, shared=None)), is_troubled=True)).is_troubled is False


def test_who_resumes_tests_the_split_anew_and_takes_what_is_for_normal_where_that_was_asked() -> None:
    evidence = Evidence((suspecting(3), a_track(gate="log-errors")), splits=(Split("logs", 5, 5),))
    calm = accepting(evidence, is_normal=True)
    assert (calm.splits, calm.tracks, calm.is_troubled) == ((), evidence.tracks, False)
    unasked = accepting(replace(evidence, is_troubled=True), is_normal=False)
    assert (unasked.splits, unasked.tracks, unasked.is_troubled) == ((), evidence.tracks, True)
    troubled = accepting(replace(evidence, is_troubled=True), is_normal=True)
    assert (troubled.splits, troubled.is_troubled) == ((), False)
    assert [track.shared for track in troubled.tracks] == [SharedTrouble(), None]


def test_the_suspicions_of_users_and_of_the_probe_multiply() -> None:
    users, probe = suspecting(1), suspecting(0.5, "probe")
    assert trouble_log((users, probe)) == pytest.approx(1.5 * math.log(10))
    assert trouble_log((users, a_track(stratum="outcomes"))) == pytest.approx(math.log(10))
    assert trouble_log((a_track(),)) == 0.0


def test_what_is_slow_is_asked_of_both_kinds_of_calls_in_the_logs() -> None:
    slow = replace(SLOWNESS, sources=("probe", "logs"))
    assert strata(watching(slow), slow) == (("probe", 0.5), ("logs", 0.25), ("logs/probe", 0.25))


@pytest.mark.parametrize("is_troubled", [False, True])
def test_what_is_measured_in_trouble_is_marked(is_troubled: bool) -> None:
    policy = watching(ERRORS, call_limit=timedelta(minutes=1))
    before = replace(initial(policy), is_troubled=is_troubled)
    troubled = replace(before.tracks[0], shared=suspecting(3, minutes=((50, 40), (0, 0))).shared)
    before = replace(before, tracks=(troubled, *before.tracks[1:]))
    after = update(before, on_trial(policy), [told("logs", Counts(4), Counts(16, 9))], at(10))
    assert [each.is_troubled for each in after.tracks[0].open] == [is_troubled]


def test_one_source_in_trouble_leaves_the_traffic_open() -> None:
    assert measured_traffic(Evidence((busy("logs", 20), busy("outcomes", 20, trouble="429")))) is None


def test_exactly_twenty_to_one_is_trouble() -> None:
    exact = Capital(staked=(-math.inf,) * 7, cash=math.log(20.0))
    track = a_track(stratum="logs", shared=SharedTrouble(before=0.01, process=CeilingProcess(exact)))
    assert with_trouble(Evidence((track,))).is_troubled
