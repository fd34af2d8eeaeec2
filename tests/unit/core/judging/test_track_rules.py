"""The rules of one track, each by itself: what the bets go by, what a new step begins with, what counts as watched."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import a_policy
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import begin
from foundry_rollouts.core.judging.one_armed import Guard, begin_floor
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.judging.stakes import Interval, restaked
from foundry_rollouts.core.judging.taking_in import taken_in
from foundry_rollouts.core.judging.track import at_most, at_new_weight, cluster_of
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Margin
from foundry_rollouts.core.model.sources import PrometheusConfig, Sources
from unit.core.judging.made_evidence import proving
from unit.core.judging.made_tracks import ERRORS, LATENCY, a_moment, a_track, at, seen

ALL_TRAFFIC = 3  #: The step of the builders' policy with weight 100.


@pytest.mark.parametrize(
    ("warm_up", "start", "is_warm"), [(30, 0, True), (30, 29, True), (30, 30, False), (30, 31, False), (0, -5, False)]
)
def test_an_interval_is_warm_that_begins_before_the_warm_up_is_over(warm_up: int, start: int, is_warm: bool) -> None:
    moment = a_moment(warm_up=timedelta(seconds=warm_up))
    assert moment.is_warm(Window(at(start), at(start + 10))) is is_warm


def test_what_has_no_step_yet_is_not_warm() -> None:
    moment = a_moment(warm_up=timedelta(seconds=30))
    unbegun = replace(moment, rollout=replace(moment.rollout, step_started_at=None))
    assert unbegun.is_warm(Window(at(0), at(10))) is False


@pytest.mark.parametrize(
    ("step", "gate", "stratum", "has_all_traffic"),
    [
        (ALL_TRAFFIC, ERRORS, "logs", True),
        (ALL_TRAFFIC, ERRORS, "logs/users", True),
        (2, ERRORS, "logs", False),
        (ALL_TRAFFIC, LATENCY, "logs", False),
        (2, LATENCY, "logs", False),
        (ALL_TRAFFIC, ERRORS, "probe", False),
        (ALL_TRAFFIC, ERRORS, "logs/probe", False),
        (ALL_TRAFFIC, LATENCY, "probe", False),
    ],
)
def test_the_guard_bets_on_errors_of_users_at_100(step: int, gate: Gate, stratum: str, has_all_traffic: bool) -> None:
    terms = a_moment(step).terms(a_track(stratum=stratum), gate)
    assert terms.has_all_traffic is has_all_traffic


def test_the_bets_go_by_the_policy_the_gate_and_what_stable_did_in_calm_times() -> None:
    spread = Spread(squares=70.0, expected=5.0)
    track = a_track(spread=spread, shared=SharedTrouble(before=0.03))
    judge = replace(a_policy().judge, tolerate=Margin(1.3), bad=Margin(2.5))
    terms = a_moment(judge=judge).terms(track, replace(ERRORS, max=0.2))
    assert (terms.bets.tolerate, terms.bets.bad, terms.bets.cluster) == (Margin(1.3), Margin(2.5), spread.cluster)
    assert (terms.max, terms.calm) == (0.2, 0.03)
    assert a_moment().terms(a_track(), ERRORS).calm is None


def test_a_cluster_is_learnt_or_written_or_one() -> None:
    spread = Spread(squares=70.0, expected=5.0)
    metrics = PrometheusConfig(url="http://metrics.local", calls="calls", failures="failures", cluster=7.0)
    written = a_policy(sources=Sources(prometheus=metrics))
    assert cluster_of(a_track(stratum="prometheus", spread=spread), written) == spread.cluster > 1
    assert cluster_of(a_track(stratum="prometheus"), written) == 7.0
    assert cluster_of(a_track(stratum="logs"), a_policy()) == 1.0
    # The release before learnt nothing of the kind.
    unwritten = a_policy(sources=Sources(prometheus=replace(metrics, cluster=None)))
    assert cluster_of(a_track(stratum="prometheus"), unwritten) == 1.0


def test_a_step_at_another_weight_begins_anew_and_keeps_what_was_learnt() -> None:
    shared = SharedTrouble(before=0.01, learnt=(900, 9))
    track = a_track(
        processes=(proving(harm=1, safe=1),),
        ceiling=begin_floor(),
        pot=proving(harm=1),
        guard=Guard(0.1),
        total=Tally(5, 1, 50, 2),
        at_step=Tally(4, 1, 40, 2),
        causes=(("HTTP 500", 1),),
        seen_at=at(5),
        watched=60.0,
        busiest=3.0,
        until=at(5),
        shared=shared,
        closed=a_track().stakes,
        open=(Interval(at(5), 10.0, (Tally(1),)),),
    )
    anew = at_new_weight(track)
    assert anew.stakes == restaked(track.stakes)
    assert (anew.at_step, anew.seen_at, anew.watched) == (Tally(), None, 0.0)
    assert (anew.open, anew.closed, anew.guard) == ((), None, None)
    assert anew.shared == shared.at_new_weight() != shared
    kept = (track.total, track.causes, track.busiest, track.until, track.share)
    assert (anew.total, anew.causes, anew.busiest, anew.until, anew.share) == kept
    assert at_new_weight(replace(track, shared=None)).shared is None


def test_a_measurement_adds_up_and_says_what_the_trouble_was() -> None:
    canary = Counts(4, 2, causes=(("HTTP 500", 2), ("HTTP 404", 1)), client_errors=1)
    first = taken_in(a_track(trouble="refused"), ERRORS, a_moment(now=10), seen(0, 10, canary, Counts(16, 1)))
    both = taken_in(first, ERRORS, a_moment(now=20), seen(10, 20, Counts(2), Counts(8)))
    assert (first.at_step, first.trouble, first.causes) == (Tally(4, 2, 16, 1), None, (("HTTP 500", 2),))
    assert (both.at_step, both.total) == (Tally(6, 2, 24, 1), Tally(6, 2, 24, 1))
    silent = taken_in(both, ERRORS, a_moment(now=30), seen(20, 30, Counts(), Counts(), trouble="429"))
    assert (silent.trouble, silent.at_step, silent.seen_at) == ("429", both.at_step, at(20))
    callers = replace(a_track(), kind=ErrorKind.CLIENT_ERROR)
    beside = taken_in(callers, ERRORS, a_moment(now=10), seen(0, 10, canary, Counts(16, 1, client_errors=3)))
    assert (beside.at_step, beside.causes) == (Tally(4, 1, 16, 3), (("HTTP 404", 1),))


def test_only_calls_of_the_canary_are_fresh() -> None:
    fresh = taken_in(a_track(), ERRORS, a_moment(now=10), seen())
    assert taken_in(fresh, ERRORS, a_moment(now=20), seen(10, 20, Counts(), Counts(9))).seen_at == at(10)
    assert taken_in(fresh, ERRORS, a_moment(now=20), seen(10, 20, Counts(heard=1), Counts())).seen_at == at(20)
    assert taken_in(fresh, ERRORS, a_moment(now=20), seen(10, 20, Counts(1), Counts())).seen_at == at(20)


@pytest.mark.parametrize(("start", "watched"), [(-110, 120.0), (-111, 0.0), (0, 10.0)])
def test_a_window_that_began_long_ago_counts_as_no_time(start: int, watched: float) -> None:
    track = taken_in(a_track(), ERRORS, a_moment(now=10), seen(start, 10))
    assert track.watched == watched


def test_a_source_in_trouble_watches_nothing_and_what_is_late_was_watched_before() -> None:
    troubled = taken_in(a_track(), ERRORS, a_moment(now=10), seen(0, 10, trouble="429"))
    assert (troubled.watched, troubled.busiest) == (0.0, 0.0)
    until = a_track(until=at(10), watched=10.0)
    assert taken_in(until, ERRORS, a_moment(now=12), seen(0, 10)).watched == 10.0
    assert taken_in(until, ERRORS, a_moment(now=12), seen(1, 11)).watched == 20.0


@pytest.mark.parametrize(
    ("end", "canary", "stable", "busiest"),
    [
        (10, 4, 16, at_most(20) / 10),
        (10, 4, 4, at_most(8) / 10),
        (10, 3, 4, 0.25),
        (5, 4, 16, at_most(20) / 5),
        (4.9, 4, 16, 0.25),
    ],
)
def test_a_window_tells_how_busy_it_was_if_it_is_long_and_full_enough(
    end: float, canary: int, stable: int, busiest: float
) -> None:
    track = taken_in(a_track(busiest=0.25), ERRORS, a_moment(now=end), seen(0, end, Counts(canary), Counts(stable)))
    assert track.busiest == pytest.approx(busiest)
    assert at_most(16) == 16 + 2 * 4 + 3


def test_the_busiest_window_counts() -> None:
    track = taken_in(a_track(busiest=99.0), ERRORS, a_moment(now=10), seen())
    assert track.busiest == 99.0


def test_the_rates_of_a_limit_count_unless_the_policy_ignores_them() -> None:
    counts = Counts(10, 6, rate_limited=4), Counts(40, 3, rate_limited=5)
    plain = taken_in(a_track(), ERRORS, a_moment(now=10), seen(0, 10, *counts))
    ignored = (ErrorKind.RATE_LIMITED,)
    ignoring = taken_in(a_track(), ERRORS, a_moment(now=10, ignored_errors=ignored), seen(0, 10, *counts))
    assert (plain.at_step, ignoring.at_step) == (Tally(10, 6, 40, 3), Tally(10, 2, 40, 0))


def test_log_errors_are_counted_for_their_gate() -> None:
    gate = Gate(GateKind.LOG_ERRORS, ("logs",))
    counts = Counts(10, 6, log_errors=3), Counts(40, 2, log_errors=1)
    track = taken_in(a_track(gate="log-errors"), gate, a_moment(now=10), seen(0, 10, *counts))
    assert track.at_step == Tally(10, 3, 40, 1)


def test_what_is_slow_is_learnt_from_fifty_calls_of_stable_which_are_not_bet_on() -> None:
    latency = a_track(gate="latency", processes=(begin(), begin(), begin()))
    few = seen(0, 10, Counts(9, latencies=((9, 9),)), Counts(49, latencies=((1, 25), (2, 24))))
    learning = taken_in(latency, LATENCY, a_moment(now=10), few)
    assert (learning.learnt, learning.edges, learning.at_step) == (((1, 25), (2, 24)), (), Tally())
    enough = seen(10, 20, Counts(), Counts(51, latencies=((1, 30), (5, 16), (9, 5))))
    learnt = taken_in(learning, LATENCY, a_moment(now=20), enough)
    assert (learnt.learnt, learnt.edges, learnt.at_step) == ((), (1, 5, 9), Tally())
    exact = seen(0, 10, Counts(), Counts(50, latencies=((3, 50),)))
    assert taken_in(latency, LATENCY, a_moment(now=10), exact).edges == (3, 3, 3)
    later = seen(20, 30, Counts(4, latencies=((1, 2), (6, 2))), Counts(16, latencies=((1, 9), (2, 7))))
    judged = taken_in(learnt, LATENCY, a_moment(now=30), later)
    assert judged.open == () or judged.open[-1].tallies == (Tally(4, 2, 16, 7), Tally(4, 2, 16, 0), Tally(4, 0, 16, 0))
    assert judged.at_step == Tally(4, 2, 16, 7)


def test_each_edge_has_a_tally_of_its_own() -> None:
    track = a_track(gate="latency", processes=(begin(), begin(), begin()), edges=(1, 5, 9))
    counts = Counts(4, latencies=((1, 1), (6, 2), (10, 1))), Counts(16, latencies=((1, 9), (2, 7)))
    moment = a_moment(now=10, call_limit=timedelta(minutes=1))
    judged = taken_in(track, LATENCY, moment, seen(0, 10, *counts))
    assert judged.open[-1].tallies == (Tally(4, 3, 16, 7), Tally(4, 3, 16, 0), Tally(4, 1, 16, 0))
