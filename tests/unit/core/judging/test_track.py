"""Windows that a failure ended early, and calls that are heard of late: each belongs to its interval."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, initial, update
from foundry_rollouts.core.judging.stakes import Stakes
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import Sources

TICK, SETTLES = timedelta(seconds=10), timedelta(seconds=60)
Part = tuple[float, tuple[int, int], tuple[int, int]]  # seconds, and calls and failures of canary and stable


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def on_trial(settles: timedelta = SETTLES, warm_up: timedelta = timedelta(0)) -> Rollout:
    gates = (Gate(GateKind.ERROR_RATE, ("probe",), max=0.2),)
    policy = a_policy(call_limit=settles, warm_up=warm_up, gates=gates)
    return a_rollout(policy=policy, phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)


def seen(begin: float, end: float, canary: tuple[int, int], stable: tuple[int, int]) -> Measurement:
    return Measurement("probe", Window(at(begin), at(end)), stable=Counts(*stable), canary=Counts(*canary))


def taken(rollout: Rollout, *windows: Measurement) -> Evidence:
    evidence = initial(rollout.policy)
    for each in windows:
        evidence = update(evidence, rollout, [each], each.window.end, TICK)
    return evidence


def stakes_of(evidence: Evidence) -> Stakes:
    return evidence.tracks[0].stakes


@pytest.mark.parametrize("settles", [timedelta(0), SETTLES])
def test_a_failure_that_ends_a_window_early_changes_nothing_of_what_is_compared(settles: timedelta) -> None:
    rollout = on_trial(settles)
    before, after = seen(0, 10, (2, 0), (18, 0)), seen(20, 30, (2, 0), (18, 1))
    whole = taken(rollout, before, seen(10, 20, (3, 1), (17, 0)), after)
    woken = taken(rollout, before, seen(10, 13, (1, 1), (4, 0)), seen(13, 20, (2, 0), (13, 0)), after)
    assert stakes_of(woken) == stakes_of(whole)
    assert woken.tracks[0].open == whole.tracks[0].open


def test_the_failure_itself_counts_at_once() -> None:
    rollout = on_trial()
    calm = taken(rollout, seen(0, 10, (4, 0), (16, 0)))
    woken = update(calm, rollout, [seen(10, 11, (8, 8), (8, 0))], at(11), TICK)
    assert stakes_of(woken).harm_log > stakes_of(calm).harm_log + 3
    assert woken.tracks[0].open[-1].is_part


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_an_interval_goes_on_until_it_is_as_long_as_a_tick(parts: list[int]) -> None:
    evidence, now = initial(on_trial().policy), 0.0
    for seconds in parts:
        evidence = update(evidence, on_trial(), [seen(now, now + seconds, (1, 1), (1, 0))], at(now + seconds), TICK)
        now += seconds
    lengths = [each.seconds for each in evidence.tracks[0].open]
    assert sum(lengths) == now
    assert all(9 <= length < 18 for length in lengths[:-1])


def test_what_is_heard_of_late_goes_to_the_interval_in_which_it_began() -> None:
    rollout = on_trial()
    first, second = seen(0, 10, (4, 0), (16, 0)), seen(10, 20, (4, 0), (16, 0))
    late = taken(rollout, first, second, seen(0, 10, (2, 2), (1, 1)))
    known = taken(rollout, seen(0, 10, (6, 2), (17, 1)), second)
    assert late.tracks[0].open == known.tracks[0].open
    assert stakes_of(late) == stakes_of(known)


def test_safety_is_proved_by_closed_intervals_and_harm_by_all() -> None:
    rollout = on_trial()
    windows = [seen(begin, begin + 10, (40, 0), (40, 0)) for begin in range(0, 120, 10)]
    (track,) = taken(rollout, *windows).tracks
    assert [each.end for each in track.open] == [at(end) for end in range(70, 121, 10)]
    assert track.closed is not None
    assert track.proven.processes[0].safe_log < track.processes[0].safe_log
    earlier = taken(rollout, *windows[:6])
    assert track.proven.processes == earlier.tracks[0].processes


def test_nothing_is_lost_where_it_is_later_than_everything_open() -> None:
    rollout = on_trial()
    windows = [seen(begin, begin + 10, (4, 0), (16, 0)) for begin in range(0, 120, 10)]
    late = taken(rollout, *windows, seen(0, 10, (8, 8), (8, 0)))
    assert late.tracks[0].open[0].tallies[0].canary_failures == 8
    assert stakes_of(late).harm_log > stakes_of(taken(rollout, *windows)).harm_log + 5


def test_a_canary_that_warms_up_may_fail_up_to_25_points_more_and_a_dead_one_is_caught() -> None:
    rollout = on_trial(warm_up=timedelta(minutes=1))
    cold = [seen(begin, begin + 10, (20, 3), (180, 2)) for begin in range(0, 60, 10)]
    dead = [seen(0, 10, (20, 20), (180, 2))]
    plain = on_trial()
    assert stakes_of(taken(rollout, *cold)).harm_log <= 1e-9
    assert stakes_of(taken(plain, *cold)).harm_log > 4
    assert stakes_of(taken(rollout, *dead)).harm_log > 5
    # After the warm-up it is judged as ever.
    late = [replace(each, window=Window(each.window.start + SETTLES, each.window.end + SETTLES)) for each in cold]
    assert stakes_of(taken(rollout, *cold, *late)).harm_log > 4


def test_a_long_window_that_begins_in_the_warm_up_belongs_to_it() -> None:
    """A server that is asked every minute tells of the first one a second after it."""
    rollout = on_trial(warm_up=timedelta(seconds=30))
    assert stakes_of(taken(rollout, seen(1, 61, (120, 18), (1080, 11)))).harm_log <= 1e-9


@pytest.mark.parametrize("stable_calls", [0, 20])
def test_at_100_a_canary_is_held_against_calm_times_of_stable(stable_calls: int) -> None:
    """An outage at the step before is not what stable always did."""
    rollout = replace(on_trial(timedelta(0)), step=2)
    users = replace(rollout.policy, gates=(Gate(GateKind.ERROR_RATE, ("logs",)),), sources=Sources(probe=None))
    rollout = replace(rollout, policy=users)
    evidence, now = initial(users), 0.0

    def live(failing: float, seconds: int, canary: int, stable: int) -> None:
        nonlocal evidence, now
        for _ in range(seconds // 10):
            counts = Counts(canary, round(canary * failing)), Counts(stable, round(stable * failing))
            told = Measurement("logs", Window(at(now), at(now + 10)), stable=counts[1], canary=counts[0])
            now += 10
            evidence = update(evidence, rollout, [told], at(now), TICK)

    live(0.01, 300, 100, 100)
    live(0.3, 600, 100, 100)
    live(0.01, 200, 100, 100)
    evidence, rollout = at_new_weight(evidence), replace(rollout, step=3)
    live(0.01, 10, 100, stable_calls)
    guard = evidence.tracks[0].guard
    assert guard is not None
    assert guard.past < 0.03


def test_sessions_that_are_heard_of_are_fresh_though_they_counted_before() -> None:
    rollout = on_trial()
    (track,) = taken(rollout, seen(0, 10, (4, 0), (16, 0))).tracks
    quiet = Measurement("probe", Window(at(10), at(20)), stable=Counts(heard=5), canary=Counts(heard=5))
    (later,) = taken(rollout, seen(0, 10, (4, 0), (16, 0)), quiet).tracks
    assert (track.seen_at, later.seen_at) == (at(10), at(20))
    late = seen(0, 10, (1, 0), (0, 0))
    assert taken(rollout, seen(0, 10, (4, 0), (16, 0)), seen(10, 20, (0, 0), (4, 0)), late).tracks[0].seen_at == at(20)
