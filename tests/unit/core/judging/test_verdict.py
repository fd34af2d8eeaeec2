"""From evidence to a verdict: which line it has to cross, and who speaks for whom."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy
from foundry_rollouts.core.judging.analysis import Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import CRITICAL, EVEN, STALE_AFTER
from foundry_rollouts.core.judging.harm import part_of
from foundry_rollouts.core.judging.logarithms import TEN, as_log10, log_sum
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard
from foundry_rollouts.core.model.policy import Gate, OnFailure
from foundry_rollouts.core.model.sources import PrometheusConfig, Sources
from unit.core.judging.analysing import (
    CEILING,
    ERRORS,
    HARMED,
    JUST_ENOUGH,
    LATENCY,
    LINES,
    PROVED,
    SECOND,
    analysed,
    bounded,
    of_errors,
    of_lines,
    read,
    seen_by_two,
)
from unit.core.judging.made_evidence import capital_of, proving


@pytest.mark.parametrize(
    ("harm", "safe", "verdict"),
    [
        (2.01, 3, Verdict.FAIL),
        (1.99, 3, Verdict.INSUFFICIENT),
        (0.01, 3, Verdict.INSUFFICIENT),
        (0, 3, Verdict.PASS),
        (-1, 1.31, Verdict.PASS),
        (-1, 1.3, Verdict.INSUFFICIENT),
    ],
)
def test_harm_is_answered_at_a_hundred_to_one_and_safety_is_proved_at_twenty(
    harm: float, safe: float, verdict: Verdict
) -> None:
    assert read(a_policy(), of_errors(proving(harm, safe))).verdict is verdict


def test_what_is_proved_and_still_doubted_says_so() -> None:
    said = read(a_policy(), of_errors(proving(0.01, 3), at_step=Tally(278, 2, 278, 0)))
    assert said.verdict is Verdict.INSUFFICIENT
    judging = a_policy().judge
    assert said.because == (
        f"canary 2 of 278 failed against 0 of 278 on stable so far: better than {judging.bad} stable, and maybe worse"
        f" than {judging.tolerate} stable; needs more canary calls without failures"
    )


def test_the_odds_that_decide_are_the_policys() -> None:
    surer = a_policy(judge=replace(a_policy().judge, false_rollback=0.001, missed_bad=0.01))
    assert read(surer, of_errors(proving(2.9, 0))).verdict is Verdict.INSUFFICIENT
    assert read(surer, of_errors(proving(3.1, 0))).verdict is Verdict.FAIL
    assert read(surer, of_errors(proving(-1, 1.9))).verdict is Verdict.INSUFFICIENT
    assert read(surer, of_errors(proving(-1, 2.1))).verdict is Verdict.PASS


def test_just_enough_is_enough() -> None:
    policy = a_policy(judge=replace(a_policy().judge, false_rollback=0.01, missed_bad=0.01))
    nothing = (-math.inf,) * 7
    harmed = proving(0).harm
    proved = replace(proving(-1, ladder=bounded(2, 2, 2)), safe=(JUST_ENOUGH, -math.inf))
    assert read(policy, of_errors(proved)).verdict is Verdict.PASS
    assert read(policy, of_errors(replace(proved, harm=replace(harmed, staked=nothing, cash=JUST_ENOUGH)))).verdict is (
        Verdict.FAIL
    )
    even = replace(proved, harm=replace(harmed, staked=nothing, cash=EVEN))
    assert read(policy, of_errors(even)).verdict is Verdict.PASS
    assert analysed(policy, of_errors(even)).is_not_gross


@pytest.mark.parametrize(("age", "verdict"), [(STALE_AFTER, Verdict.PASS), (STALE_AFTER + SECOND, Verdict.STALE)])
def test_proof_is_fresh_for_two_minutes(age: timedelta, verdict: Verdict) -> None:
    assert read(a_policy(), of_errors(PROVED), now=NOON + age).verdict is verdict


def test_a_source_that_is_late_by_its_nature_is_given_that_time() -> None:
    late = PrometheusConfig("http://p", "calls", "failures", every=3 * SECOND, delay=4 * SECOND)
    gate = replace(ERRORS, sources=("prometheus",))
    policy = a_policy(gates=(gate,), sources=Sources(prometheus=late))
    track = of_errors(PROVED, stratum="prometheus")
    assert read(policy, track, now=NOON + STALE_AFTER + 7 * SECOND).verdict is Verdict.PASS
    assert read(policy, track, now=NOON + STALE_AFTER + 8 * SECOND).verdict is Verdict.STALE


def test_the_stratum_seen_last_keeps_the_gate_fresh() -> None:
    policy = seen_by_two(ERRORS)
    later = NOON + 60 * SECOND
    tracks = of_errors(PROVED, share=0.5), of_errors(PROVED, share=0.5, stratum="outcomes", seen_at=later)
    assert read(policy, *tracks, now=later + STALE_AFTER).verdict is Verdict.PASS
    assert read(policy, tracks[0], replace(tracks[1], seen_at=None), now=later + STALE_AFTER).verdict is Verdict.STALE


@pytest.mark.parametrize("trouble", [None, "HTTP 503"])
def test_trouble_of_a_source_matters_once_nothing_fresh_is_known(trouble: str | None) -> None:
    track = of_errors(PROVED, trouble=trouble)
    assert read(a_policy(), track).verdict is Verdict.PASS
    later = read(a_policy(), track, now=NOON + STALE_AFTER + SECOND).verdict
    assert later is (Verdict.SOURCE_ERROR if trouble else Verdict.STALE)
    beside = of_errors(PROVED, share=0.5, stratum="outcomes", seen_at=None)
    assert read(seen_by_two(ERRORS), replace(track, seen_at=None), beside).verdict is (
        Verdict.SOURCE_ERROR if trouble else Verdict.NO_DATA
    )
    never = read(a_policy(), replace(track, seen_at=None)).verdict
    assert never is (Verdict.SOURCE_ERROR if trouble else Verdict.NO_DATA)


ONE = {
    Verdict.FAIL: of_lines(proving(5)),
    Verdict.SOURCE_ERROR: of_lines(seen_at=None, trouble="HTTP 503"),
    Verdict.NO_DATA: of_lines(seen_at=None),
    Verdict.STALE: of_lines(seen_at=NOON - STALE_AFTER - SECOND),
    Verdict.INSUFFICIENT: of_lines(),
    Verdict.PASS: of_lines(PROVED),
}


@pytest.mark.parametrize("one", ONE)
@pytest.mark.parametrize("other", ONE)
def test_the_worst_gate_speaks_for_the_rollout(one: Verdict, other: Verdict) -> None:
    if one is other:
        return
    errors = replace(ONE[one], gate="error-rate", stratum="probe")
    analysis = analysed(a_policy(gates=(ERRORS, LINES)), errors, ONE[other])
    worst = next(verdict for verdict in ONE if verdict in {one, other})
    speaker = analysis.gates[0 if one is worst else 1]
    assert (analysis.verdict, analysis.because) == (worst, speaker.because)


def test_what_is_waited_for_is_all_that_is_not_proved_and_nothing_once_it_failed() -> None:
    policy = a_policy(gates=(ERRORS, LINES))
    both = analysed(policy, of_errors(), of_lines())
    assert both.waiting_for == f"{both.gates[0].because}; {both.gates[1].because}"
    one = analysed(policy, of_errors(PROVED), of_lines())
    assert one.waiting_for == one.gates[1].because
    assert analysed(policy, of_errors(PROVED), of_lines(PROVED)).waiting_for is None
    assert analysed(policy, of_errors(HARMED), of_lines()).waiting_for is None


def test_only_the_gate_that_failed_names_the_answer() -> None:
    pausing = replace(ERRORS, on_failure=OnFailure.PAUSE)
    assert read(a_policy(gates=(pausing,)), of_errors()).on_failure is OnFailure.PAUSE
    assert analysed(a_policy(gates=(pausing,)), of_errors()).on_failure is None
    assert analysed(a_policy(gates=(pausing,)), of_errors(HARMED)).on_failure is OnFailure.PAUSE


def test_gates_share_the_evidence_of_harm_by_fixed_parts() -> None:
    gates = (ERRORS, LATENCY, LINES)
    policy = a_policy(gates=gates)
    assert [part_of(policy, gate) for gate in gates] == pytest.approx([0.6, 0.25, 0.15])
    critical = a_policy(gates=(replace(ERRORS, is_critical=True), LATENCY, LINES))
    assert CRITICAL == 4
    assert part_of(critical, critical.gates[0]) == pytest.approx(2.4 / 2.8)


@pytest.mark.parametrize(("harm", "verdict"), [(2.85, Verdict.FAIL), (2.65, Verdict.INSUFFICIENT)])
def test_a_gate_that_counts_for_a_fifth_needs_five_times_the_evidence(harm: float, verdict: Verdict) -> None:
    analysis = analysed(a_policy(gates=(ERRORS, LINES)), of_errors(proving(-9)), of_lines(proving(harm)))
    assert (analysis.gates[0].verdict, analysis.gates[1].verdict) == (Verdict.INSUFFICIENT, verdict)


def test_a_stratum_counts_by_its_share() -> None:
    policy = seen_by_two(ERRORS)
    silent = of_errors(proving(-9), share=0.9, stratum="outcomes")
    for harm, verdict in ((2.9, Verdict.INSUFFICIENT), (3.1, Verdict.FAIL)):
        assert read(policy, of_errors(proving(harm), share=0.1), silent).verdict is verdict
    # What users' calls and the probe's show of safety multiplies; two sources of the same calls are averaged.
    users = replace(policy, sources=replace(policy.sources, logs=Sources().logs))
    for safe, verdict in ((1.2, Verdict.INSUFFICIENT), (1.4, Verdict.PASS)):
        assert read(policy, of_errors(proving(-1, safe), share=0.1), silent).verdict is verdict
        same = of_errors(proving(-1, safe + 1), share=0.1, stratum="logs")
        assert read(users, same, silent).verdict is verdict


def test_the_three_questions_about_latency_are_averaged() -> None:
    policy = a_policy(gates=(LATENCY,))
    reading = read(policy, of_errors(proving(2, 1), proving(2, 1), proving(-9, -9), gate="latency", edges=(1, 2, 3)))
    assert as_log10(reading.harm_log) == pytest.approx(2 + math.log10(2 / 3))
    assert as_log10(reading.safe_log) == pytest.approx(1 + math.log10(2 / 3))


@pytest.mark.parametrize(
    ("floor", "strict", "step", "stable_calls", "verdict"),
    [
        (3, 3, 1, 50, Verdict.FAIL),
        (3, 1, 1, 50, Verdict.INSUFFICIENT),
        (1, 3, 1, 50, Verdict.INSUFFICIENT),
        (3, 3, 3, 50, Verdict.FAIL),
        (3, 1, 1, 0, Verdict.INSUFFICIENT),
        (3, 3, 1, 0, Verdict.INSUFFICIENT),
    ],
)
def test_a_ceiling_decides_beside_stable_and_never_alone(
    floor: float, strict: float, step: int, stable_calls: int, verdict: Verdict
) -> None:
    track = of_errors(
        proving(1),
        ceiling=CeilingProcess(capital_of(floor)),
        strict=proving(strict),
        at_step=Tally(100, 9, stable_calls, 0),
    )
    assert read(a_policy(gates=(CEILING,)), track, step=step).verdict is verdict


def test_a_gate_without_a_ceiling_has_nothing_to_say_about_the_ceiling_of_another() -> None:
    broken = of_errors(proving(1), ceiling=CeilingProcess(capital_of(4)), strict=proving(4))
    policy = a_policy(gates=(CEILING, LINES))
    assert [each.verdict for each in analysed(policy, broken, of_lines()).gates] == [Verdict.FAIL, Verdict.INSUFFICIENT]


def test_the_stratum_that_accuses_most_tells_of_harm() -> None:
    policy = seen_by_two(CEILING)
    mild = of_errors(proving(4), share=0.5)
    much = of_errors(proving(3), share=0.5, stratum="outcomes")
    assert ", seen by probe: " in read(policy, mild, much).because
    strict = replace(much, strict=proving(5), ceiling=CeilingProcess(capital_of(5)))
    assert ", seen by outcomes: " in read(policy, mild, strict).because
    heavy = replace(much, share=0.95)
    assert ", seen by outcomes: " in read(policy, replace(mild, share=0.05), heavy).because


def test_the_stratum_with_the_best_proof_speaks_unless_it_saw_no_canary() -> None:
    policy = seen_by_two(ERRORS)
    good, better = of_errors(proving(-1, 2), share=0.5), of_errors(proving(-1, 3), share=0.5, stratum="outcomes")
    assert ", seen by outcomes: " in read(policy, good, better).because
    blind = replace(better, at_step=Tally(0, 0, 9, 0))
    assert ", seen by probe: " in read(policy, good, blind).because
    assert ", seen by probe: " in read(policy, replace(good, at_step=Tally(1, 0, 9, 0)), blind).because
    assert ", seen by probe: " in read(policy, replace(good, share=0.95), replace(better, share=0.05)).because


@pytest.mark.parametrize(
    ("gate", "step", "threshold"),
    [
        (ERRORS, Tally(9, 0, 100, 10), 0.12),
        (CEILING, Tally(9, 0, 100, 10), 0.12),
        (CEILING, Tally(9, 0, 100, 50), 0.2),
        (CEILING, Tally(9, 0, 0, 0), 0.2),
        (ERRORS, Tally(9, 0, 0, 0), None),
    ],
)
def test_the_line_not_to_cross_is_the_lower_one(gate: Gate, step: Tally, threshold: float | None) -> None:
    reading = read(a_policy(gates=(gate,)), of_errors(at_step=step))
    assert reading.threshold == (None if threshold is None else pytest.approx(threshold))


def test_a_version_without_calls_has_no_rate() -> None:
    reading = read(a_policy(), of_errors(at_step=Tally(8, 2, 0, 0)))
    assert (reading.canary_value, reading.stable_value) == (0.25, None)


def test_a_stratum_without_calls_on_stable_borrows_the_comparison_for_its_ceiling() -> None:
    broken = of_errors(
        stratum="outcomes", share=0.5, strict=proving(-1), ceiling=CeilingProcess(capital_of(4)), at_step=Tally(100, 60)
    )
    worse = of_errors(share=0.5, strict=proving(4), ceiling=CeilingProcess(capital_of(-3)), at_step=Tally(9, 0, 9, 0))
    policy = seen_by_two(CEILING)
    assert read(policy, broken, worse, step=3).verdict is Verdict.FAIL
    compared = replace(broken, at_step=Tally(100, 60, 100, 60))
    assert read(policy, compared, worse, step=3).verdict is not Verdict.FAIL


def test_a_ceiling_broken_at_100_is_a_reason_to_step_back_only_where_no_stratum_compares() -> None:
    broken = of_errors(
        stratum="outcomes", share=0.5, strict=proving(-1), ceiling=CeilingProcess(capital_of(4)), at_step=Tally(100, 60)
    )
    other = of_errors(share=0.5, strict=proving(-1), ceiling=CeilingProcess(capital_of(-3)), at_step=Tally(9, 0))
    policy = seen_by_two(CEILING)
    assert analysed(policy, broken, other, step=3).guarded
    assert not analysed(policy, broken, replace(other, at_step=Tally(9, 0, 9, 0)), step=3).guarded


@pytest.mark.parametrize(("harm", "is_guarded"), [(2.28, False), (2.32, True)])
def test_the_guard_of_one_stratum_counts_with_its_share(harm: float, is_guarded: bool) -> None:
    alone = of_errors(
        stratum="outcomes", share=0.5, guard=Guard(0.01, CeilingProcess(capital_of(harm))), at_step=Tally(100, 60)
    )
    other = of_errors(share=0.5, at_step=Tally(9, 0, 9, 0))
    assert bool(analysed(seen_by_two(ERRORS), alone, other, step=3).guarded) is is_guarded


def test_a_dry_run_is_judged_as_if_it_stood_alone_and_says_so() -> None:
    dry = replace(LINES, is_dry_run=True)
    analysis = analysed(a_policy(gates=(ERRORS, dry)), of_errors(PROVED), of_lines(proving(2.1)))
    assert (analysis.verdict, analysis.gates[1].verdict) == (Verdict.PASS, Verdict.FAIL)
    assert analysis.gates[1].because.startswith("dry run: canary 14 of 1 200 wrote an error line")
    assert not analysis.gates[0].because.startswith("dry run")


def test_the_logarithm_of_a_sum_of_nothings_is_nothing() -> None:
    assert log_sum([-math.inf, -math.inf]) == -math.inf
    assert log_sum([-math.inf, 2.0]) == 2.0
    assert log_sum([3 * TEN, 2 * TEN]) == pytest.approx(math.log(1100))
