"""What is carried on from one window to the next, and from one weight to the next."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Hypotheses, begin, observed, reweighted
from foundry_rollouts.core.judging.constants import LEARNING_CALLS, SLOW, STALE_AFTER, STRICT
from foundry_rollouts.core.judging.estimate import StableEstimate
from foundry_rollouts.core.judging.evidence import (
    Evidence,
    at_new_weight,
    history_of,
    initial,
    measured_traffic,
    strata,
    update,
)
from foundry_rollouts.core.judging.one_armed import begin_floor, observed_floor
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind, Margin, Policy
from foundry_rollouts.core.model.rollout import PriorCounts, Rollout
from foundry_rollouts.core.model.sources import Sources

ERRORS = Gate(GateKind.ERROR_RATE, ("probe",))
CEILING = replace(ERRORS, max=0.2)
LATENCY = Gate(GateKind.LATENCY, ("probe",))
END = NOON + timedelta(seconds=7)


def seen(canary: Counts = Counts(), stable: Counts = Counts(), source: str = "probe", **but: Any) -> Measurement:  # noqa: B008 - frozen
    return Measurement(source, Window(NOON, END), stable, canary, **but)


def watching(*gates: Gate) -> Policy:
    return a_policy(gates=gates)


def tracks_after(policy: Policy, *measurements: Measurement) -> tuple[Track, ...]:
    return update(initial(policy), standing(policy), measurements, END).tracks


def standing(policy: Policy) -> Rollout:
    return replace(a_rollout(), policy=policy, step=1, step_started_at=NOON)


def test_each_gate_begins_with_one_process_for_each_stratum_and_three_for_latency() -> None:
    both = Gate(GateKind.ERROR_RATE, ("probe", "logs"))
    tracks = initial(watching(both, LATENCY)).tracks
    assert [(track.gate, track.stratum, track.share, len(track.processes)) for track in tracks] == [
        ("error-rate", "probe", 0.5, 1),
        ("error-rate", "logs", 0.5, 1),
        ("latency", "probe", 1.0, 3),
    ]
    assert {(track.strict, track.ceiling) for track in tracks} == {(None, None)}


def test_logs_are_one_stratum_where_no_probe_writes_any() -> None:
    gate = Gate(GateKind.ERROR_RATE, ("logs",))
    assert strata(a_policy(gates=(gate,), sources=Sources(probe=None)), gate) == (("logs", 1.0),)


def test_a_measurement_is_bet_on_and_counted_with_its_causes_and_its_end() -> None:
    policy = watching(ERRORS)
    canary = Counts(9, 2, causes=(("HTTP 500", 2),))
    (track,) = tracks_after(policy, seen(canary, Counts(20, 1)))
    tally, bets = Tally(9, 2, 20, 1), Hypotheses(policy.judge.tolerate, policy.judge.bad)
    assert track == Track(
        "error-rate",
        "probe",
        1.0,
        (observed(begin(), bets, tally, 7.0),),
        total=tally,
        at_step=tally,
        causes=(("HTTP 500", 2),),
        seen_at=END,
        watched=7.0,
        busiest=(29 + 2 * 29**0.5 + 3) / 7.0,
        until=END,
        shared=SharedTrouble().after(tally, 7.0, is_on=False, cluster=1.0),
    )


@pytest.mark.parametrize(
    ("seconds", "calls", "watched", "is_telling"),
    [
        (4.9, 50, 4.9, False),
        (5, 50, 5, True),
        (5, 7, 5, False),
        (5, 8, 5, True),
        (120, 50, 120, True),
        (121, 50, 0, False),
    ],
)
def test_only_windows_of_an_ordinary_length_tell_how_busy_an_agent_is(
    seconds: float, calls: int, watched: float, is_telling: bool
) -> None:
    policy = watching(ERRORS)
    window = Window(END - timedelta(seconds=seconds), END)
    (track,) = tracks_after(policy, replace(seen(Counts(1), Counts(calls - 1)), window=window))
    assert track.watched == pytest.approx(watched)
    assert track.busiest == pytest.approx((calls + 2 * calls**0.5 + 3) / seconds if is_telling else 0)


def test_time_in_trouble_is_not_watched_at_the_step() -> None:
    policy = watching(ERRORS)
    later = Window(END, END + timedelta(seconds=7))
    (track,) = tracks_after(policy, seen(Counts(9), Counts(20)), replace(seen(), window=later, trouble="HTTP 503"))
    assert track.watched == 7.0


def test_a_ceiling_is_bet_on_without_tolerance_and_by_the_canary_alone() -> None:
    policy = watching(CEILING)
    (track,) = tracks_after(policy, seen(Counts(9, 2), Counts(20, 1)))
    assert track.strict == observed(begin(), Hypotheses(Margin(1.0), policy.judge.bad), Tally(9, 2, 20, 1), 7.0)
    assert track.ceiling == observed_floor(begin_floor(), 0.2, Tally(9, 2), 7.0)


def test_error_lines_are_counted_in_place_of_failures() -> None:
    policy = watching(Gate(GateKind.LOG_ERRORS, ("logs",)))
    users, probes = tracks_after(policy, seen(Counts(9, 4, 2), Counts(20, 5, 1), "logs"))
    assert (users.total, probes.total) == (Tally(9, 2, 20, 1), Tally())


def test_windows_add_up_and_only_a_window_with_canary_calls_is_news_of_it() -> None:
    policy = watching(ERRORS)
    first = seen(Counts(9, 2, causes=(("HTTP 500", 2),)), Counts(20, 1))
    later = Measurement("probe", Window(END, END + timedelta(seconds=7)), Counts(5, 1), Counts())
    (track,) = tracks_after(policy, first, later, replace(first, source="logs"))
    assert (track.total, track.at_step, track.seen_at) == (Tally(9, 2, 25, 2), Tally(9, 2, 25, 2), END)
    (track,) = tracks_after(policy, first, first)
    assert track.watched == 7.0  # Its time passed once.
    assert track.causes == (("HTTP 500", 4),)


def test_trouble_of_a_source_is_kept_until_its_next_word() -> None:
    policy = watching(ERRORS)
    assert tracks_after(policy, seen(trouble="HTTP 503"))[0].trouble == "HTTP 503"
    assert tracks_after(policy, seen(trouble="HTTP 503"), seen())[0].trouble is None


def test_what_is_slow_is_learnt_from_fifty_calls_of_stable_that_are_never_bet_on() -> None:
    policy = watching(LATENCY)
    teaching = Counts(latencies=((1, 25), (4, 20), (6, 4)))
    (learning,) = tracks_after(policy, seen(Counts(latencies=((9, 99),)), teaching))
    assert (learning.edges, learning.learnt, learning.total) == ((), teaching.latencies, Tally())
    enough = seen(Counts(latencies=((9, 99),)), Counts(latencies=((9, 1),)))
    (learnt,) = tracks_after(policy, seen(stable=teaching), enough)
    assert (learnt.edges, learnt.learnt, learnt.total) == ((1, 4, 9), (), Tally())
    assert learnt.processes == (begin(),) * 3


def test_slower_than_an_edge_is_what_lies_above_its_bucket() -> None:
    policy = watching(LATENCY)
    bets = Hypotheses(policy.judge.tolerate, policy.judge.bad)
    teaching = seen(stable=Counts(latencies=((1, 25), (4, 20), (9, 5))))
    canary, stable = Counts(latencies=((1, 1), (4, 2), (9, 3), (12, 4))), Counts(latencies=((1, 7), (4, 2), (10, 1)))
    (track,) = tracks_after(policy, teaching, seen(canary, stable))
    tallies = Tally(10, 9, 10, 3), Tally(10, 7, 10, 1), Tally(10, 4, 10, 1)
    assert track.edges == (1, 4, 9)
    assert track.processes == tuple(observed(begin(), bets, tally, 7.0) for tally in tallies)
    assert track.total == tallies[0]


def test_a_new_weight_forgets_the_step_and_keeps_the_trial() -> None:
    policy = watching(CEILING, LATENCY)
    taught = seen(stable=Counts(latencies=((1, 50),)))
    counts = seen(Counts(9, 2, 0, (("HTTP 500", 2),), ((3, 9),)), Counts(20, 1, 0, (), ((1, 20),)))
    before = update(initial(policy), standing(policy), [taught, counts], END)
    for old, new in zip(before.tracks, at_new_weight(before).tracks, strict=True):
        assert old.seen_at is not None
        assert new == replace(
            old,
            processes=tuple(map(reweighted, old.processes)),
            strict=reweighted(old.strict) if old.strict else None,
            ceiling=begin_floor() if old.ceiling else None,
            at_step=Tally(),
            seen_at=None,
            watched=0.0,
            shared=old.shared.at_new_weight() if old.shared else None,
        )
    assert before.of(LATENCY) == before.tracks[1:]


def test_what_a_trial_tells_of_its_canary_is_known_of_the_stable_version_in_the_next() -> None:
    policy = watching(CEILING, LATENCY)
    taught = seen(stable=Counts(latencies=((1, 50),)))
    counted = seen(Counts(400, 8, latencies=((1, 400),)), Counts(20, 1))
    trial = update(initial(policy), standing(policy), [taught, counted], END)
    told = history_of(trial)
    assert trial.of(LATENCY)[0].total.canary_calls == 400
    assert told == (PriorCounts("error-rate", "probe", 400, 8),)
    errors, slow = initial(policy, told).tracks
    assert errors.strict is not None
    assert {process.guess for process in (*errors.processes, errors.strict)} == {
        StableEstimate(old_failures=8.0, old_calls=400.0)
    }
    assert errors.shared is not None
    assert errors.shared.before == 0.02
    assert slow == initial(policy).tracks[1]
    assert history_of(initial(policy)) == ()
    assert initial(policy, [replace(told[0], gate="log-errors"), replace(told[0], source="logs")]) == initial(policy)


def test_gates_are_judged_by_these_numbers() -> None:
    assert ((0.5, 0.9, 0.99), 50, timedelta(minutes=2), Margin(1.0, 0.0)) == (SLOW, LEARNING_CALLS, STALE_AFTER, STRICT)
    assert Evidence() == Evidence((), ())


def test_the_traffic_is_known_after_a_minute_by_the_users_source_that_sees_most() -> None:
    gate = Gate(GateKind.ERROR_RATE, ("probe", "logs"))
    policy = watching(gate)

    def after(minutes: int, *sources: str) -> Evidence:
        evidence = initial(policy)
        for minute in range(minutes):
            window = Window(NOON + timedelta(minutes=minute), NOON + timedelta(minutes=minute + 1))
            counts = Counts(12), Counts(108, 1)
            told = [Measurement(source, window, stable=counts[1], canary=counts[0]) for source in sources]
            evidence = update(evidence, standing(policy), told, window.end)
        return evidence

    assert measured_traffic(after(0)) is None
    assert measured_traffic(after(1, "probe")) == pytest.approx((0.0, 1.5 / 158))
    assert measured_traffic(after(2, "probe", "logs")) == pytest.approx((2.0, 0.01), abs=0.002)
