"""From measurements to verdicts: what counts, what does not, and the sentence that says so."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.constants import STALE_AFTER
from foundry_rollouts.core.judging.evidence import at_new_weight, initial, strata
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.judging.logarithms import log_sum
from foundry_rollouts.core.model.measurement import Counts, Measurement, Sample, Window, bucket_of, quantile, seconds_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging, Margin, OnFailure
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import Sources

COARSE = Judging(bad=Margin(3, 0.2))
BOTH = (Gate(GateKind.ERROR_RATE, ("probe", "logs")),)


def a_progressing(**but: Any) -> Rollout:
    rollout = a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON)
    return replace(rollout, policy=a_policy(judge=COARSE, **but))


def measured(
    second: int, canary: Any = (4, 0), stable: Any = (4, 0), source: Any = "probe", trouble: Any = None, **but: Any
) -> Measurement:
    start = NOON + timedelta(seconds=second)
    return Measurement(
        source=source,
        window=Window(start, start + timedelta(seconds=1)),
        canary=Counts(
            calls=canary[0], failures=canary[1], causes=(("HTTP 500", canary[1]),) if canary[1] else (), **but
        ),
        stable=Counts(calls=stable[0], failures=stable[1]),
        trouble=trouble,
    )


def judged(rollout: Rollout, *ticks: list[Measurement]) -> Analysis:
    evidence = initial(rollout.policy)
    now = NOON
    analysis = judge(rollout, evidence, (), now)
    for second, tick in enumerate(ticks):
        now = NOON + timedelta(seconds=second + 1)
        analysis = judge(rollout, analysis.evidence, tick, now)
    return analysis


def test_nothing_seen_is_no_data_and_says_where_it_looked() -> None:
    analysis = judged(a_progressing(gates=BOTH))
    assert analysis.verdict is Verdict.NO_DATA
    assert analysis.because == "error-rate: no canary calls seen at this step yet (probe, logs)"
    assert analysis.waiting_for == analysis.because


def test_a_source_that_cannot_be_read_is_its_own_verdict() -> None:
    analysis = judged(a_progressing(), [measured(0, (0, 0), (0, 0), trouble="HTTP 429: slow down")])
    assert analysis.verdict is Verdict.SOURCE_ERROR
    assert "HTTP 429: slow down" in analysis.because


def test_calls_on_stable_alone_say_nothing_about_the_canary() -> None:
    assert judged(a_progressing(), *[[measured(s, (0, 0), (50, 0))] for s in range(50)]).verdict is Verdict.NO_DATA


def test_a_little_is_insufficient_and_says_about_how_much_is_missing() -> None:
    analysis = judged(a_progressing(), [measured(0)])
    assert analysis.verdict is Verdict.INSUFFICIENT
    assert "canary 0 of 4 failed against 0 of 4 on stable so far: needs about" in analysis.because
    missing = analysis.gates[0].missing_calls
    assert missing is not None
    assert 5 <= missing <= 30


def test_a_healthy_canary_is_proved_after_about_twenty_calls_under_a_coarse_line() -> None:
    ticks = [[measured(second)] for second in range(40)]
    proved = next(n for n in range(1, 40) if judged(a_progressing(), *ticks[:n]).verdict is Verdict.PASS)
    assert 12 <= 4 * proved <= 28
    assert "better than 3x + 20pp stable, evidence" in judged(a_progressing(), *ticks[:proved]).because


def test_a_failing_canary_is_caught_after_a_few_failures_and_the_sentence_says_how() -> None:
    ticks = [[measured(second, (4, 2))] for second in range(10)]
    caught = next(n for n in range(1, 10) if judged(a_progressing(), *ticks[:n]).verdict is Verdict.FAIL)
    assert 2 * caught <= 10
    because = judged(a_progressing(), *ticks[:caught]).because
    assert because.startswith(
        f"canary {2 * caught} of {4 * caught} failed (HTTP 500) against 0 of {4 * caught} on stable"
    )
    assert "worse than 1.2x stable, evidence" in because


def test_what_both_versions_suffer_is_no_harm_of_the_canary() -> None:
    analysis = judged(a_progressing(), *[[measured(second, (8, 4), (8, 4))] for second in range(100)])
    assert analysis.verdict is not Verdict.FAIL


def test_proof_grows_stale_when_nothing_follows_it() -> None:
    rollout = a_progressing()
    proved = judged(rollout, *[[measured(second)] for second in range(20)])
    assert proved.verdict is Verdict.PASS
    later = NOON + timedelta(seconds=21) + STALE_AFTER
    assert judge(rollout, proved.evidence, (), later).verdict is Verdict.STALE


def test_each_weight_earns_its_own_proof() -> None:
    rollout = a_progressing()
    proved = judged(rollout, *[[measured(second)] for second in range(20)])
    anew = judge(rollout, at_new_weight(proved.evidence), (), NOON + timedelta(seconds=21))
    assert anew.verdict is Verdict.NO_DATA


def test_one_silent_source_does_not_stop_another_from_proving() -> None:
    ticks = [[measured(second)] for second in range(40)]
    assert judged(a_progressing(gates=BOTH), *ticks).verdict is Verdict.PASS


def test_every_gate_must_be_proved_to_advance() -> None:
    gates = (*BOTH, Gate(GateKind.LATENCY, ("probe",)))
    analysis = judged(a_progressing(gates=gates), *[[measured(second)] for second in range(40)])
    assert analysis.verdict is not Verdict.PASS


def test_strata_are_never_pooled_and_their_shares_sum_to_one() -> None:
    policy = a_policy(gates=BOTH)
    assert strata(policy, BOTH[0]) == (("probe", 0.5), ("logs", 0.5))
    mixed = [[measured(s, (9, 0), (1, 0)), measured(s, (1, 1), (9, 9), source="logs")] for s in range(60)]
    tracks = judged(a_progressing(gates=BOTH), *mixed).evidence.tracks
    assert [(track.total.canary_calls, track.total.stable_calls) for track in tracks] == [(540, 60), (60, 540)]


def test_an_error_line_counts_once_for_its_call() -> None:
    gates = (Gate(GateKind.LOG_ERRORS, ("logs",)),)
    ticks = [[measured(s, (4, 0), (4, 0), source="logs", log_errors=3)] for s in range(10)]
    analysis = judged(a_progressing(gates=gates), *ticks)
    assert analysis.verdict is Verdict.FAIL
    assert "wrote an error line" in analysis.because


def slow(seconds: float, calls: int = 4) -> Counts:
    sample = Sample(latency=timedelta(seconds=seconds)).as_counts()
    return sum((sample for _ in range(calls - 1)), sample)


def test_a_canary_that_answers_more_slowly_than_stable_fails_the_latency_gate() -> None:
    rollout = a_progressing(gates=(Gate(GateKind.LATENCY, ("probe",)),))
    ticks = [[replace(measured(s), canary=slow(0.5), stable=slow(0.2))] for s in range(60)]
    assert judged(rollout, *ticks).verdict is Verdict.FAIL
    alike = [[replace(measured(s), canary=slow(0.2), stable=slow(0.2))] for s in range(60)]
    assert judged(rollout, *alike).verdict is Verdict.PASS


def test_a_ceiling_takes_the_tolerance_away() -> None:
    ticks = [[measured(s, (8, 4), (8, 2))] for s in range(60)]
    tolerant = replace(COARSE, tolerate=Margin(2.0, 0.1))
    free = replace(a_progressing(), policy=a_policy(judge=tolerant))
    ceiling = (Gate(GateKind.ERROR_RATE, ("probe",), max=0.2),)
    bound = replace(a_progressing(), policy=a_policy(judge=tolerant, gates=ceiling))
    assert judged(free, *ticks).verdict is not Verdict.FAIL
    assert judged(bound, *ticks).verdict is Verdict.FAIL


def test_a_ceiling_that_stable_breaks_as_well_is_no_fault_of_the_canary() -> None:
    ceiling = (Gate(GateKind.ERROR_RATE, ("probe",), max=0.1),)
    analysis = judged(a_progressing(gates=ceiling), *[[measured(s, (8, 4), (8, 4))] for s in range(60)])
    assert analysis.verdict is not Verdict.FAIL


def test_at_100_percent_without_calls_on_stable_the_ceiling_leads_back_a_step_and_no_further() -> None:
    ceiling = (Gate(GateKind.ERROR_RATE, ("probe",), max=0.2),)
    rollout = replace(a_progressing(gates=ceiling), step=3)
    broken = judged(rollout, *[[measured(s, (8, 6), (0, 0))] for s in range(20)])
    assert broken.verdict is Verdict.INSUFFICIENT
    assert broken.guarded == broken.because


def at_the_last_step(*alone: tuple[int, int], stable: tuple[int, int] = (0, 0)) -> Analysis:
    """Return what is said of a canary that saw stable at 50 and then takes all traffic."""
    rollout = a_progressing(gates=(Gate(GateKind.ERROR_RATE, ("logs",)),), sources=Sources(probe=None))
    before = judged(replace(rollout, step=2), *[[measured(s, (10, 0), (10, 0), "logs")] for s in range(20)])
    evidence, now = at_new_weight(before.evidence), NOON + timedelta(seconds=20)
    analysis = before
    for second, canary in enumerate(alone, start=20):
        now = NOON + timedelta(seconds=second + 1)
        analysis = judge(replace(rollout, step=3), evidence, [measured(second, canary, stable, "logs")], now)
        evidence = analysis.evidence
    return analysis


def test_at_100_percent_a_canary_bakes_and_is_held_against_what_stable_failed_at_before() -> None:
    few, many = at_the_last_step((3, 0)), at_the_last_step(*[(3, 0)] * 20)
    assert (few.verdict, many.verdict) == (Verdict.PASS, Verdict.PASS)
    assert (few.guarded, many.guarded) == (None, None)
    assert many.because == "canary 0 of 60 failed (stable failed about 0.2% before) at this step, seen by logs"


def test_at_100_percent_a_canary_that_got_worse_goes_back_a_step() -> None:
    worse = at_the_last_step(*[(3, 1)] * 60)
    assert worse.verdict is Verdict.INSUFFICIENT
    assert worse.guarded is not None
    assert worse.guarded.startswith("canary 60 of 180 failed (stable failed about 0.2% before), seen by logs: ")


def test_at_100_percent_a_straggler_on_stable_does_not_stop_the_proof() -> None:
    assert at_the_last_step(*[(100, 0)] * 20, stable=(1, 0)).verdict is Verdict.PASS


def test_at_100_percent_a_stable_version_with_calls_is_compared_with() -> None:
    because = at_the_last_step(*[(10, 0)] * 20, stable=(2, 0)).because
    assert because.startswith("canary 0 of 200 failed against 0 of 40 on stable at this step")


def test_the_gate_that_proves_harm_names_its_answer() -> None:
    gate = Gate(GateKind.ERROR_RATE, ("probe",), on_failure=OnFailure.PAUSE)
    analysis = judged(a_progressing(gates=(gate,)), *[[measured(s, (4, 4))] for s in range(10)])
    assert analysis.on_failure is OnFailure.PAUSE


def test_readings_carry_value_threshold_and_verdict() -> None:
    reading = judged(a_progressing(), [measured(0, (8, 1), (8, 2))]).gates[0]
    assert (reading.canary_value, reading.stable_value) == (0.125, 0.25)
    assert reading.threshold == pytest.approx(0.3)


@given(
    ticks=st.lists(
        st.tuples(st.integers(0, 30), st.booleans(), st.sampled_from([None, "HTTP 401", "dead", "HTTP 429"])),
        max_size=30,
    )
)
def test_no_sequence_of_silences_and_source_errors_is_ever_a_pass(ticks: Any) -> None:
    rollout = a_progressing(gates=BOTH)
    analysis = judged(rollout, *[[measured(0, (0, 0), (n if s else 0, 0), trouble=t)] for n, s, t in ticks])
    assert analysis.verdict in {Verdict.NO_DATA, Verdict.SOURCE_ERROR}


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(1, 9), st.integers(0, 9)), max_size=12))
def test_one_more_failure_of_the_canary_never_lowers_harm_nor_raises_safety(rows: Any) -> None:
    base = [[measured(s, (n, min(x, n - 1)), (m, min(y, m)))] for s, (n, x, m, y) in enumerate(rows)]
    worse = [[measured(s, (n, min(x, n - 1) + 1), (m, min(y, m)))] for s, (n, x, m, y) in enumerate(rows)]
    rollout = a_progressing()
    one, other = judged(rollout, *base).gates[0], judged(rollout, *worse).gates[0]
    assert other.harm_log >= one.harm_log - 1e-9
    assert other.safe_log <= one.safe_log + 1e-9


def test_quantiles_come_from_buckets_a_tenth_apart() -> None:
    histogram = (slow(0.1, 90) + slow(2.0, 10)).latencies
    assert quantile(histogram, 0.5) == bucket_of(timedelta(seconds=0.1))
    assert seconds_of(quantile(histogram, 0.99) or 0) == pytest.approx(2.0, rel=0.1)
    assert quantile((), 0.5) is None


def test_log_sum_adds_in_logs() -> None:
    assert log_sum([2.0, 2.0]) == pytest.approx(2 + math.log(2))
    assert log_sum([]) == -math.inf


def test_what_a_source_does_not_see_is_said_and_changes_no_verdict() -> None:
    sight = "logs: at most 4 of 20 sessions of each version are followed: 2 000 streams are shared by 300 rollouts"
    rollout, seen = a_progressing(gates=BOTH), [measured(0), measured(0, source="logs")]
    whole, partial = judged(rollout, seen), judged(rollout, [replace(each, sight=sight) for each in seen])
    assert partial == replace(whole, because=f"{whole.because}; {sight}", waiting_for=f"{whole.waiting_for}; {sight}")
