"""How long the bets take, term by term."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import a_policy
from foundry_rollouts.core.forecast.expectation import (
    Stream,
    Traffic,
    deciding,
    gross_seconds,
    ladder_gains,
    proof_seconds,
    streams,
)
from foundry_rollouts.core.forecast.harm import STAKED, harm_seconds
from foundry_rollouts.core.judging.bets import Bet, floor_bets, harm_bets, ladder_bets
from foundry_rollouts.core.judging.capital import Hypotheses, samples_to_prove
from foundry_rollouts.core.judging.constants import LADDER
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import Gate, GateKind, Margin, Policy, WeightStep
from foundry_rollouts.core.model.sources import OutcomesConfig, ProbeConfig, PrometheusConfig, Sources

ERRORS = Gate(GateKind.ERROR_RATE, ("prometheus",))
LATENCY = Gate(GateKind.LATENCY, ("outcomes",))
LATE = PrometheusConfig("http://p", "c", "f", values=(("cost", "q"),), cluster=1.0)
SOURCES = Sources(probe=None, logs=None, outcomes=OutcomesConfig(), prometheus=LATE)
TRAFFIC = Traffic(4.0, 0.02)
JUDGING = a_policy().judge
LINES = Hypotheses(JUDGING.tolerate, JUDGING.bad)


#: No step has a least time here, so that nothing waits for calls that are still under way.
STEPS = (WeightStep(10), WeightStep(50), WeightStep(100))


def a_watching(*gates: Gate, sources: Sources = SOURCES, **but: Any) -> Policy:
    return a_policy(**({"gates": gates, "sources": sources, "steps": STEPS, "call_limit": None} | but))


def test_calls_on_both_versions_are_needed_to_compare() -> None:
    assert STAKED == 0.5 / 7
    assert Stream(2e-9, 0.5, 1.0, 0.0).is_two_sided
    for rate, canary in ((1e-9, 0.5), (0.0, 0.5), (1.0, 0.0), (1.0, 1.0)):
        assert not Stream(rate, canary, 1.0, 0.0).is_two_sided
    assert Stream(1.0, 1.0, 1.0, 0.0).has_calls


@pytest.mark.parametrize(
    ("rate", "canary", "seconds"),
    [(4.0, 0.5, 2.0), (2.0, 0.1, 5.0), (2.0, 0.95, 10.0), (2.0, 1.0, 0.0), (0.0, 0.5, 0.0)],
)
def test_a_batch_takes_eight_calls_with_one_on_each_version(rate: float, canary: float, seconds: float) -> None:
    assert Stream(rate, canary, 1.0, 0.0).batch_seconds == pytest.approx(seconds)


def test_what_is_slow_is_learnt_from_stable_alone() -> None:
    assert Stream(4.0, 0.75, 1.0, 0.0).learning_seconds(50) == 50.0
    assert Stream(4.0, 1.0, 1.0, 0.0).learning_seconds(50) == 0.0


def test_a_second_gains_what_its_calls_gain_on_average() -> None:
    bet = Bet(1.0, 10.0, 100.0, 1000.0)
    gained = Stream(4.0, 0.25, 1.0, 0.0).gain(bet, 0.5, 0.1)
    assert gained == pytest.approx(4 * (0.25 * (0.5 * 1 + 0.5 * 10) + 0.75 * (0.1 * 100 + 0.9 * 1000)))


def test_what_decides_is_neither_a_dry_run_nor_a_number() -> None:
    dry, value = replace(LATENCY, is_dry_run=True), Gate(GateKind.VALUE, ("prometheus",), bounds=Bounds("cost", max=1))
    assert deciding(a_watching(ERRORS, dry, value)) == (ERRORS,)


def test_the_probe_divides_its_calls_evenly_and_users_are_divided_by_weight() -> None:
    gate = Gate(GateKind.ERROR_RATE, ("probe", "logs", "prometheus"), weights=(2.0, 1.0, 1.0))
    probe = ProbeConfig(every=timedelta(seconds=4), pairs=3)
    policy = a_watching(gate, sources=replace(SOURCES, probe=probe, logs=Sources().logs))
    assert list(streams(policy, gate, 10, TRAFFIC)) == [
        Stream(1.5, 0.5, 0.5, 0.0, is_probe=True),
        Stream(4.0, 0.1, 0.25, 0.0),
        Stream(4.0, 0.1, 0.25, 45.0),
    ]
    lines = Gate(GateKind.LOG_ERRORS, ("logs",))
    assert list(streams(policy, lines, 10, TRAFFIC)) == [
        Stream(4.0, 0.1, 0.5, 0.0),
        Stream(1.5, 0.5, 0.5, 0.0, is_probe=True),
    ]


def test_proof_takes_its_samples_and_the_delay_of_its_source() -> None:
    both = replace(ERRORS, sources=("prometheus", "outcomes"), weights=(3.0, 1.0))
    samples = [samples_to_prove(0.02, 10, LINES, 0.05 * share) / 4.0 for share in (0.75, 0.25)]
    assert proof_seconds(a_watching(both), both, 10, TRAFFIC) == pytest.approx(min(samples[0] + 45, samples[1]))
    assert proof_seconds(a_watching(ERRORS), ERRORS, 10, TRAFFIC) == pytest.approx(
        samples_to_prove(0.02, 10, LINES, 0.05) / 4.0 + 45
    )


def test_proof_takes_the_samples_of_just_that_weight() -> None:
    expected = samples_to_prove(0.02, 60, LINES, 0.05) / 4.0 + 45
    assert proof_seconds(a_watching(ERRORS), ERRORS, 60, TRAFFIC) == pytest.approx(expected)


def test_proof_takes_no_less_than_a_batch() -> None:
    coarse = replace(a_watching(ERRORS), judge=replace(JUDGING, missed_bad=0.49, bad=Margin(1000.0, 0.9)))
    assert samples_to_prove(0.02, 10, Hypotheses(JUDGING.tolerate, coarse.judge.bad), 0.49) < 10
    assert proof_seconds(coarse, ERRORS, 10, TRAFFIC) == pytest.approx(10 / 4.0 + 45)


def test_latency_is_proved_by_the_quickest_of_its_three_questions_once_they_are_learnt() -> None:
    samples = min(samples_to_prove(rate, 25, LINES, 0.05 / 3) for rate in (0.5, 0.1, 0.01))
    expected = samples / 4.0 + 50 / (4.0 * 0.75)
    assert proof_seconds(a_watching(LATENCY), LATENCY, 25, TRAFFIC) == pytest.approx(expected)


def test_at_100_the_first_call_that_is_seen_will_do() -> None:
    begun = a_watching(ERRORS, steps=(ApprovalStep(), WeightStep(99), WeightStep(100)))
    assert proof_seconds(begun, ERRORS, 100, TRAFFIC) == pytest.approx(1 / 4.0 + 45)
    assert proof_seconds(begun, ERRORS, 100, Traffic(0.0, 0.02)) == math.inf
    probe = replace(SOURCES, probe=ProbeConfig(every=timedelta(seconds=4), pairs=3))
    both = replace(ERRORS, sources=("prometheus", "probe"))
    assert proof_seconds(a_watching(both, sources=probe), both, 100, TRAFFIC) == pytest.approx(1 / 0.75)


def test_at_100_slowness_is_seen_where_it_was_learnt_before() -> None:
    assert proof_seconds(a_watching(LATENCY), LATENCY, 100, TRAFFIC) == pytest.approx(1 / 4.0)
    only = a_watching(LATENCY, steps=(WeightStep(100),))
    assert proof_seconds(only, LATENCY, 100, TRAFFIC) == math.inf


def test_what_users_and_the_probe_win_multiplies() -> None:
    """Each has its own two claims and its delay to make up for; then what they win a second adds up."""
    probe = replace(SOURCES, probe=ProbeConfig(every=timedelta(seconds=2), pairs=2))
    both = replace(ERRORS, sources=("prometheus", "probe"))
    policy = a_watching(both, sources=probe)
    goal = -math.log(0.05) + 2 * math.log(2)
    gains = [
        (-math.log(0.05) + math.log(2)) / samples_to_prove(0.02, weight, LINES, 0.05) * rate
        for weight, rate in ((10, 4.0), (50, 2.0))
    ]
    assert proof_seconds(policy, both, 10, TRAFFIC) == pytest.approx((goal + 45 * gains[0]) / sum(gains))
    alone = replace(both, sources=("probe",))
    of_probe = proof_seconds(a_watching(alone, sources=probe), alone, 10, TRAFFIC)
    assert proof_seconds(policy, both, 10, TRAFFIC) < of_probe
    # Where users hardly call, the probe has to win no more than alone.
    assert proof_seconds(policy, both, 10, Traffic(1e-6, 0.02)) == pytest.approx(of_probe)


def test_sources_of_the_same_calls_are_averaged() -> None:
    both = replace(ERRORS, sources=("prometheus", "outcomes"))
    gain = (-math.log(0.05) + math.log(2)) / samples_to_prove(0.02, 10, LINES, 0.05) * 4.0
    outcomes = replace(ERRORS, sources=("outcomes",))
    one = proof_seconds(a_watching(outcomes), outcomes, 10, TRAFFIC)
    assert proof_seconds(a_watching(both), both, 10, TRAFFIC) == pytest.approx(one + math.log(2) / gain)


def test_a_call_proves_nothing_before_it_may_have_ended_nor_while_the_canary_warms_up() -> None:
    outcomes = replace(ERRORS, sources=("outcomes",))
    plain = proof_seconds(a_watching(outcomes), outcomes, 10, TRAFFIC)
    for but, more in (
        ({"steps": (WeightStep(10, min=timedelta(seconds=20)), WeightStep(100))}, 20),
        ({"steps": (WeightStep(10, min=timedelta(minutes=9)), WeightStep(100))}, 60),
        ({"call_limit": timedelta(minutes=2)}, 120),
        ({"warm_up": timedelta(seconds=30)}, 30),
    ):
        policy = a_watching(outcomes, **({"call_limit": None} | but))
        assert proof_seconds(policy, outcomes, 10, TRAFFIC) == pytest.approx(plain + more)
        gross = gross_seconds(a_watching(outcomes), outcomes, 10, TRAFFIC)
        assert gross_seconds(policy, outcomes, 10, TRAFFIC) == pytest.approx(gross + more)
    # Counts that come later still are waited for anyway.
    late = a_watching(ERRORS, call_limit=timedelta(seconds=30))
    assert proof_seconds(late, ERRORS, 10, TRAFFIC) == proof_seconds(a_watching(ERRORS), ERRORS, 10, TRAFFIC)


def test_calls_that_fail_together_prove_and_harm_so_much_less() -> None:
    clustered = replace(SOURCES, prometheus=replace(LATE, cluster=3.0))
    single, triple = a_watching(ERRORS), a_watching(ERRORS, sources=clustered)
    proofs = [proof_seconds(policy, ERRORS, 10, TRAFFIC) - 45 for policy in (single, triple)]
    harms = [harm_seconds(policy, 10, TRAFFIC, 0.1) - 45 for policy in (single, triple)]
    assert [proofs[1], harms[1]] == pytest.approx([3 * proofs[0], 3 * harms[0]])


@pytest.mark.parametrize(("weight", "stable_share"), [(10, 0.9), (50, 0.5), (100, 0.5)])
def test_where_clusters_are_learnt_half_an_hour_of_single_failures_teaches_them(
    weight: int, stable_share: float
) -> None:
    unknown = replace(SOURCES, prometheus=replace(LATE, cluster=None))
    failures = 4.0 * stable_share * 0.02 * 1800 / math.log(2) / 2
    (stream,) = streams(a_watching(ERRORS, sources=unknown), ERRORS, weight, TRAFFIC)
    assert stream.cluster == pytest.approx(1 + 2 * ((10 + failures) / (2 + failures) - 1))
    (quiet,) = streams(a_watching(ERRORS, sources=unknown), ERRORS, weight, Traffic(1e-6, 0.02))
    assert quiet.cluster == pytest.approx(9, abs=1)


def test_what_is_not_gross_is_known_by_the_first_margin_of_sixteen_points_or_less() -> None:
    goal, gains = (
        -math.log(0.05),
        [Stream(4.0, 0.1, 1.0, 0.0).gain(bet, 0.02, 0.02) for bet in ladder_bets(0.02, 0.1, 0.9)],
    )
    ((to_win, won_a_second),) = ladder_gains(a_watching(ERRORS), ERRORS, 10, TRAFFIC)
    assert to_win == pytest.approx(goal)
    assert won_a_second == pytest.approx(gains)
    best = max(gain for margin, gain in zip(LADDER, gains, strict=True) if margin <= 0.16)
    assert best == gains[2] < gains[1]
    assert gross_seconds(a_watching(ERRORS), ERRORS, 10, TRAFFIC) == pytest.approx(goal / best + 45)
    slow = gross_seconds(a_watching(LATENCY), LATENCY, 10, TRAFFIC)
    half = max(Stream(4.0, 0.1, 1.0, 0.0).gain(bet, 0.5, 0.5) for bet in ladder_bets(0.5, 0.1, 0.9)[2:])
    assert slow == pytest.approx(goal / half + 50 / (4.0 * 0.9))
    two = replace(ERRORS, sources=("prometheus", "outcomes"))
    assert gross_seconds(a_watching(two), two, 10, TRAFFIC) == pytest.approx(-math.log(0.025) / best)
    assert gross_seconds(a_watching(ERRORS), ERRORS, 100, TRAFFIC) == math.inf


def harm_goal(part: float = 1.0) -> float:
    return -math.log(0.01 * part * 0.5 / 7)


def by_comparison(line: Margin, canary_rate: float, stable_rate: float = 0.02, weight: float = 0.1) -> float:
    """Return what the best claim gains a second."""
    stream = Stream(4.0, weight, 1.0, 0.0)
    placed = harm_bets(line, stable_rate, weight, 1 - weight)
    return max(stream.gain(bet, canary_rate, stable_rate) for bet in placed)


def test_harm_takes_what_the_best_claim_has_to_win() -> None:
    expected = harm_goal() / by_comparison(JUDGING.tolerate, 0.1)
    assert harm_seconds(a_watching(ERRORS), 10, TRAFFIC, 0.1) == pytest.approx(expected + 45)
    lines = Gate(GateKind.LOG_ERRORS, ("outcomes",))
    together = harm_seconds(a_watching(ERRORS, lines), 10, TRAFFIC, 0.1)
    of_each = [harm_goal(part) / by_comparison(JUDGING.tolerate, 0.1) + lag for part, lag in ((0.8, 45), (0.2, 0))]
    assert together == pytest.approx(min(of_each))


def test_harm_seen_by_a_source_counts_by_its_share() -> None:
    two = replace(ERRORS, sources=("prometheus", "outcomes"), weights=(3.0, 1.0))
    expected = min(
        harm_goal(part) / by_comparison(JUDGING.tolerate, 0.1) + lag for part, lag in ((0.75, 45), (0.25, 0))
    )
    assert harm_seconds(a_watching(two), 10, TRAFFIC, 0.1) == pytest.approx(expected)


def test_harm_takes_no_less_than_a_batch_and_latency_sees_none() -> None:
    assert harm_seconds(a_watching(ERRORS), 10, Traffic(4.0, 1e-5), 1.0) == pytest.approx(
        max(harm_goal() / by_comparison(JUDGING.tolerate, 1.0, 2e-5), 2.5) + 45, rel=1e-3
    )
    loose = replace(a_watching(ERRORS), judge=replace(JUDGING, false_rollback=0.49))
    assert harm_seconds(loose, 1, TRAFFIC, 1.0) == pytest.approx(25 + 45)
    assert harm_seconds(a_watching(LATENCY), 10, TRAFFIC, 1.0) == math.inf
    assert harm_seconds(a_watching(ERRORS), 10, TRAFFIC, 0.02) == math.inf


def test_a_ceiling_is_broken_once_it_and_stable_are_left_behind() -> None:
    for ceiling, canary_rate in ((0.05, 0.09), (0.01, 0.09)):
        gate = replace(ERRORS, max=ceiling)
        tolerant = replace(a_watching(gate), judge=replace(JUDGING, tolerate=Margin(20), bad=Margin(30)))
        stream = Stream(4.0, 0.1, 1.0, 0.0)
        above = harm_goal() / max(stream.gain(bet, canary_rate, 0.02) for bet in floor_bets(ceiling))
        beside = harm_goal() / by_comparison(Margin(1.0), canary_rate)
        assert harm_seconds(tolerant, 10, TRAFFIC, canary_rate) == pytest.approx(max(above, beside) + 45)


def alone_above(limit: float, canary_rate: float) -> float:
    """Return when the guard's odds are won against a rate that is known."""
    goal = math.log(100) - math.log(0.5 / 7)
    return goal / max(Stream(4.0, 1.0, 1.0, 0.0).gain(bet, canary_rate, 0.02) for bet in floor_bets(limit))


def test_at_100_the_guard_and_a_ceiling_see_what_is_worse_than_stable_was() -> None:
    assert harm_seconds(a_watching(ERRORS), 100, TRAFFIC, 0.2) == pytest.approx(alone_above(0.09, 0.2) + 45)
    assert harm_seconds(a_watching(ERRORS), 100, TRAFFIC, 0.09) == math.inf
    gate = replace(ERRORS, max=0.05)
    assert harm_seconds(a_watching(gate), 100, TRAFFIC, 0.2) == pytest.approx(alone_above(0.05, 0.2) + 45)
    assert harm_seconds(a_watching(gate), 100, Traffic(0.0, 0.02), 0.2) == math.inf
    # Where the probe compares, a ceiling alone decides nothing.
    probed = replace(gate, sources=("prometheus", "probe"), weights=(1e9, 1.0))
    sources = replace(SOURCES, probe=ProbeConfig())
    found = harm_seconds(a_watching(probed, sources=sources), 100, TRAFFIC, 0.2)
    assert found == pytest.approx(alone_above(0.09, 0.2) + 45, rel=1e-6)


@pytest.mark.parametrize(("canary_rate", "waits"), [(0.2, True), (0.9, False)])
def test_a_canary_that_warms_up_at_100_may_fail_as_much_more_as_elsewhere(canary_rate: float, waits: bool) -> None:
    warm = a_watching(ERRORS, warm_up=timedelta(minutes=1))
    expected = 60 + alone_above(0.09, canary_rate) if waits else alone_above(0.29, canary_rate)
    assert harm_seconds(warm, 100, TRAFFIC, canary_rate) == pytest.approx(expected + 45)


def test_while_a_canary_warms_up_only_what_is_gross_is_found_out() -> None:
    warm = a_watching(ERRORS, warm_up=timedelta(minutes=1))
    mild = harm_goal(0.9) / by_comparison(JUDGING.tolerate, 0.1)
    assert harm_seconds(warm, 10, TRAFFIC, 0.1) == pytest.approx(60 + mild + 45)
    dead = harm_goal(0.1) / by_comparison(Margin(1.0, 0.25), 1.0)
    assert dead < 60
    assert harm_seconds(warm, 10, TRAFFIC, 1.0) == pytest.approx(dead + 45)
