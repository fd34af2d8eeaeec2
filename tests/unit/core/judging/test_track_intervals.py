"""The intervals of one track: when they are whole, when they close, and what is learnt from them."""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.judging.taking_in import taken_in
from foundry_rollouts.core.judging.track import Moment, settling
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts
from foundry_rollouts.core.model.policy import CALL_LIMIT, Automatic, Gate, GateKind, WeightStep
from unit.core.judging.made_tracks import ERRORS, a_moment, a_track, at, seen


@pytest.mark.parametrize(("seconds", "is_part"), [(8.9, True), (9.0, False), (10.0, False)])
def test_an_interval_of_nine_tenths_of_a_tick_is_whole(seconds: float, is_part: bool) -> None:
    moment = a_moment(now=seconds, tick=10, call_limit=timedelta(minutes=1))
    (interval,) = taken_in(a_track(), ERRORS, moment, seen(0, seconds)).open
    assert interval.is_part is is_part


def test_without_a_tick_each_window_is_whole() -> None:
    moment = a_moment(now=3, call_limit=timedelta(minutes=1))
    (interval,) = taken_in(a_track(), ERRORS, Moment(moment.rollout, moment.now), seen(0, 3)).open
    assert not interval.is_part


@pytest.mark.parametrize(("now", "still"), [(69.9, 1), (70.0, 0), (70.1, 0)])
def test_an_interval_closes_when_its_longest_call_is_over(now: float, still: int) -> None:
    track = taken_in(a_track(), ERRORS, a_moment(now=now, call_limit=timedelta(minutes=1)), seen(0, 10))
    assert len(track.open) == still
    assert (track.closed is None) is (still == 0)


def test_what_ends_together_with_an_open_interval_belongs_to_it() -> None:
    def after(*windows: tuple[float, float]) -> list[tuple[datetime, int]]:
        track = a_track()
        for start, end in windows:
            now = max(end for _, end in windows)
            track = taken_in(track, ERRORS, a_moment(now=now, call_limit=timedelta(minutes=5)), seen(start, end))
        return [(each.end, each.tallies[0].canary_calls) for each in track.open]

    assert after((0, 10), (10, 20), (0, 10)) == [(at(10), 8), (at(20), 4)]
    assert after((0, 10), (10, 20), (8, 15)) == [(at(10), 4), (at(20), 8)]
    assert after((0, 10), (10, 20), (10, 20)) == [(at(10), 4), (at(20), 8)]
    assert after((0, 10), (10, 20), (0, 20.5)) == [(at(10), 4), (at(20), 4), (at(20.5), 4)]


def test_what_is_late_after_a_new_weight_goes_on_with_nothing() -> None:
    moment = a_moment(now=100, tick=10, call_limit=timedelta(minutes=5))
    first = taken_in(a_track(until=at(90)), ERRORS, moment, seen(0, 5))
    both = taken_in(first, ERRORS, moment, seen(5, 9))
    assert [(each.end, each.tallies[0].canary_calls) for each in both.open] == [(at(5), 4), (at(9), 4)]


def test_the_time_of_an_interval_passes_once() -> None:
    moment = a_moment(now=20, call_limit=timedelta(minutes=5))
    first = taken_in(a_track(), ERRORS, moment, seen(0, 10))
    twice = taken_in(first, ERRORS, moment, seen(0, 10))
    assert [each.seconds for each in twice.open] == [10.0]
    shared = replace(a_track(shared=SharedTrouble()), until=at(10))
    late = taken_in(shared, ERRORS, moment, seen(0, 10)).shared
    assert late is not None
    assert (late.clock, late.minutes) == (0.0, ((16, 0),))


def test_stable_is_compared_with_before_where_errors_of_all_kinds_are_counted() -> None:
    shared = SharedTrouble()
    window = seen(0, 10, Counts(4, 1), Counts(16, 3))
    telling = taken_in(a_track(), ERRORS, a_moment(now=10), window).shared
    assert telling is not None
    assert telling.minutes == ((16, 3),)
    assert taken_in(a_track(kind=ErrorKind.CLIENT_ERROR), ERRORS, a_moment(now=10), window).shared is None
    logs = Gate(GateKind.LOG_ERRORS, ("logs",))
    assert taken_in(a_track(gate="log-errors"), logs, a_moment(now=10), window).shared is None
    calm = taken_in(a_track(shared=shared), ERRORS, a_moment(now=10), window).shared
    troubled = taken_in(a_track(shared=shared), ERRORS, replace(a_moment(now=10), is_troubled=True), window).shared
    assert calm is not None
    assert troubled is not None
    assert (calm.learnt, troubled.learnt) == ((16, 3), (0, 0))


def test_the_scatter_of_stable_is_learnt_in_calm_times() -> None:
    track = a_track(spread=Spread())
    window = seen(0, 10, Counts(4, 1), Counts(16, 3))
    rate = track.processes[0].guess.rate
    assert taken_in(track, ERRORS, a_moment(now=10), window).spread == Spread().after(16, 3, rate, 10.0)
    troubled = replace(a_moment(now=10), is_troubled=True)
    assert taken_in(track, ERRORS, troubled, window).spread == Spread()
    assert taken_in(a_track(), ERRORS, a_moment(now=10), window).spread is None


def test_the_first_bets_do_not_know_what_the_interval_teaches() -> None:
    track = a_track(spread=Spread(), shared=SharedTrouble())
    window = seen(0, 10, Counts(8, 4), Counts(200, 60))
    together = taken_in(track, ERRORS, a_moment(now=10), window)
    alone = taken_in(replace(track, spread=None), ERRORS, a_moment(now=10), window)
    assert together.spread is not None
    assert together.stakes != alone.stakes  # the cluster that was known before divides
    assert math.isfinite(together.stakes.harm_log)


def settles(step: int, *mins: float | None, **policy: Any) -> timedelta:
    steps = tuple(
        WeightStep(weight, min=timedelta(0) if least is None else timedelta(seconds=least))
        for weight, least in zip((10, 50, 100), mins, strict=False)
    )
    return settling(a_rollout(policy=a_policy(steps=steps, call_limit=None, **policy), step=step))


def test_the_longest_call_is_what_the_policy_says_or_a_minute_or_the_least_time_of_the_step() -> None:
    written = a_policy(call_limit=timedelta(seconds=7))
    assert settling(a_rollout(policy=written, step=1)) == timedelta(seconds=7)
    assert settles(1, 20, 50, 90) == timedelta(seconds=20)
    assert settles(2, 20, 50, 90) == timedelta(seconds=50)
    assert settles(3, 20, 50, 90) == CALL_LIMIT
    assert settles(0, 20, 50, 90) == CALL_LIMIT
    assert settles(1, None, 50, 90) == timedelta(0)


@pytest.mark.parametrize(
    ("step", "soak", "bake", "longest"),
    [(1, 20, 0, 60), (6, 20, 0, 20), (6, 300, 0, 60), (7, 20, 0, 60), (7, 20, 40, 40)],
)
def test_automatic_steps_wait_for_the_longest_call_unless_they_are_shorter(
    step: int, soak: int, bake: int, longest: int
) -> None:
    automatic = Automatic(soak=timedelta(seconds=soak), bake=timedelta(seconds=bake))
    policy = a_policy(automatic=automatic, steps=automatic.steps, call_limit=None)
    assert settling(a_rollout(policy=policy, step=step)) == timedelta(seconds=longest)
