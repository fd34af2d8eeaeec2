"""What to expect of a policy: the numbers of the formulas, and what really comes."""

import random
from dataclasses import replace
from datetime import timedelta
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import a_policy
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import StepPlan, plan
from foundry_rollouts.core.forecast.risks import risks_of
from foundry_rollouts.core.forecast.warnings import warnings_of
from foundry_rollouts.core.forecast.words import span_words
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.policy import Gate, GateKind, Judging, Margin, OnNoEvidence, Policy, WeightStep
from foundry_rollouts.core.model.sources import InsightsConfig, OutcomesConfig, ProbeConfig, Sources
from foundry_rollouts.core.replay.counts import Interval, replayed

USERS = Sources(probe=None, logs=None, outcomes=OutcomesConfig())
HOUR = timedelta(hours=1)
ALL = (WeightStep(100),)
#: The limits for which the formulas' numbers are published.
NARROW = Judging(bad=Margin(1.5, 0.005))


def users_only(*steps: Any, **but: Any) -> Policy:
    """Return a policy with narrow limits that sees the calls of users and nothing else."""
    plain = {"sources": USERS, "gates": (Gate(GateKind.ERROR_RATE, ("outcomes",)),), "judge": NARROW}
    return a_policy(**({"steps": (*steps, WeightStep(100))} | plain | but))


def first(policy: Policy, rps: float = 2, stable_rate: float = 0.01) -> StepPlan:
    return plan(policy, Traffic(rps, stable_rate)).steps[0]


@pytest.mark.parametrize(
    ("stable_rate", "weight", "rps", "minutes"),
    [
        (0.001, 10, 2, 86),
        (0.001, 50, 2, 19),
        (0.01, 10, 0.2, 1086),
        (0.01, 50, 0.2, 365),
        (0.01, 10, 2, 109),
        (0.01, 50, 2, 36),
        (0.01, 10, 20, 10.9),
        (0.05, 10, 2, 50),
        (0.05, 50, 200, 0.2),
    ],
)
def test_proof_takes_the_calls_that_the_formula_says(
    stable_rate: float, weight: int, rps: float, minutes: float
) -> None:
    proof = first(users_only(WeightStep(weight)), rps, stable_rate).proof
    assert proof is not None
    assert proof.total_seconds() / 60 == pytest.approx(minutes, rel=0.02, abs=0.05)


def replayed_seconds(policy: Policy, weight: int, canary_rate: float, goal: str, seed: int) -> float:
    """Return when chance lets ``goal`` be reached at 20 rps, counted every ten seconds."""
    dice = random.Random(f"{seed} {weight} {canary_rate}")

    def counted(second: int) -> Interval:
        calls = [dice.random() < weight / 100 for _ in range(200)]
        canary, stable = sum(calls), 200 - sum(calls)
        failures = sum(dice.random() < canary_rate for _ in range(canary))
        return Interval(
            second, weight, Tally(canary, failures, stable, sum(dice.random() < 0.01 for _ in range(stable)))
        )

    stream = (counted(second) for second in range(10, 20_000, 10))
    return next(judged.seconds for judged in replayed(policy, stream) if judged.verdict == goal)


@pytest.mark.parametrize(
    ("weight", "canary_rate", "name", "goal"),
    [(50, 0.01, None, "pass"), (50, 0.11, "+10 points", "fail"), (10, 0.11, "+10 points", "fail")],
)
def test_what_is_expected_is_what_comes(weight: int, canary_rate: float, name: str | None, goal: str) -> None:
    policy = users_only(WeightStep(weight))
    step = first(policy, rps=20)
    expected = next((seen.after for seen in step.seen if seen.regression.name == name), step.proof)
    assert expected is not None
    measured = mean(replayed_seconds(policy, weight, canary_rate, goal, seed) for seed in range(12))
    assert measured == pytest.approx(expected.total_seconds(), rel=0.35, abs=10)


def test_worse_regressions_are_seen_sooner_and_more_traffic_sees_them_sooner() -> None:
    times = {seen.regression.name: seen.after for seen in first(users_only(WeightStep(10))).seen}
    more = {seen.regression.name: seen.after for seen in first(users_only(WeightStep(10)), rps=20).seen}
    assert list(times) == ["twice", "+2 points", "+10 points", "dead"]
    spans = [span for span in times.values() if span is not None]
    assert len(spans) == 4
    assert spans == sorted(spans, reverse=True)
    assert all(
        soon is not None and late is not None and soon < late for soon, late in zip(more.values(), spans, strict=True)
    )


def test_without_traffic_the_probe_alone_proves() -> None:
    probe = replace(Sources(), probe=ProbeConfig(every=timedelta(seconds=1), pairs=2), logs=None)
    step = first(a_policy(sources=probe), rps=0)
    assert step.proof is not None
    assert (step.canary_calls, step.stable_calls) == (0, 0)
    assert step.proof == first(a_policy(sources=probe), rps=2000).proof
    assert step.lasts is not None
    assert step.probe_pairs == int(2 * step.lasts.total_seconds())


def test_at_100_a_step_bakes_its_time_and_no_calls_are_needed() -> None:
    baking = plan(users_only(WeightStep(10), steps=(WeightStep(10), WeightStep(100, min=HOUR))), Traffic(20, 0.01))
    assert [step.is_bake for step in baking.steps] == [False, True]
    assert baking.steps[1].lasts == HOUR
    assert baking.steps[1].proof == timedelta(seconds=1 / 20)


def test_a_step_lasts_as_long_as_a_call_may_at_least() -> None:
    policy = users_only(steps=(WeightStep(100),), call_limit=timedelta(minutes=3))
    (step,) = plan(policy, Traffic(20, 0.01)).steps
    assert (step.bakes, step.lasts) == (timedelta(minutes=3), timedelta(minutes=3))


def test_at_100_the_guard_and_a_ceiling_still_see_harm() -> None:
    bare = plan(users_only(WeightStep(10)), Traffic(20, 0.01))
    gates = (Gate(GateKind.ERROR_RATE, ("outcomes",), max=0.05),)
    watched = plan(users_only(WeightStep(10), gates=gates), Traffic(20, 0.01))
    guarded = {seen.regression.name: seen.after for seen in bare.steps[1].seen}
    assert (guarded["twice"], guarded["+2 points"]) == (None, None)
    assert (guarded["dead"] or HOUR) < (guarded["+10 points"] or HOUR) < HOUR
    seen = {seen.regression.name: seen.after for seen in watched.steps[1].seen}
    assert (seen["twice"], seen["+2 points"]) == (None, None)
    assert seen["+10 points"] is not None
    assert seen["dead"] is not None
    assert seen["dead"] < seen["+10 points"]


def test_a_ceiling_takes_the_tolerance_away() -> None:
    policy = users_only(WeightStep(50), judge=Judging(tolerate=Margin(20), bad=Margin(30)))
    gates = (Gate(GateKind.ERROR_RATE, ("outcomes",), max=0.05),)
    tolerant, strict = (
        {seen.regression.name: seen.after for seen in first(each, rps=20).seen}["+10 points"]
        for each in (policy, replace(policy, gates=gates))
    )
    assert tolerant is None
    assert strict is not None


def test_every_gate_has_to_prove_and_latency_learns_first() -> None:
    latency = Gate(GateKind.LATENCY, ("outcomes",))
    alone = first(users_only(WeightStep(50), gates=(latency,)))
    both = first(users_only(WeightStep(50), gates=(Gate(GateKind.ERROR_RATE, ("outcomes",)), latency)))
    errors = first(users_only(WeightStep(50)))
    assert alone.proof is not None
    assert alone.proof > timedelta(seconds=50)
    assert both.proof == max(alone.proof, errors.proof or HOUR)
    assert {seen.after for seen in alone.seen} == {None}


@pytest.mark.parametrize("weight", [10, 100])
def test_counts_that_come_late_prove_late(weight: int) -> None:
    def expected(source: str, sources: Sources) -> StepPlan:
        gate = Gate(GateKind.ERROR_RATE, (source,), max=0.05)
        return first(
            a_policy(steps=(WeightStep(weight), *ALL[weight == 100 :]), sources=sources, gates=(gate,)), rps=200
        )

    late = expected(
        "application-insights", replace(USERS, outcomes=None, application_insights=InsightsConfig("w", cluster=1.0))
    )
    live = expected("outcomes", USERS)
    lag = timedelta(minutes=4)
    assert late.proof == (None if live.proof is None else live.proof + lag)
    assert late.seen[-1].after == (live.seen[-1].after or HOUR) + lag


@given(
    st.floats(0, 1e6),
    st.floats(0.0001, 1),
    st.integers(1, 99),
    st.sampled_from([None, 0.001, 0.3, 1.0]),
    st.sampled_from(OnNoEvidence),
)
@settings(deadline=None, max_examples=50)
def test_there_is_a_plan_for_every_policy_and_traffic(
    rps: float, stable_rate: float, weight: int, ceiling: float | None, on_no_evidence: OnNoEvidence
) -> None:
    gates = (
        Gate(GateKind.ERROR_RATE, ("logs", "probe"), max=ceiling),
        Gate(GateKind.LATENCY, ("probe",)),
        Gate(GateKind.LOG_ERRORS, ("logs",)),
    )
    steps = (WeightStep(weight, max=HOUR), WeightStep(100))
    policy = a_policy(steps=steps, gates=gates, on_no_evidence=on_no_evidence)
    found = plan(policy, Traffic(rps, stable_rate))
    assert [step.weight for step in found.steps] == [weight, 100]
    assert all(warning.sentence for warning in warnings_of(found))


def test_a_dry_run_neither_proves_nor_finds_out() -> None:
    errors, latency = Gate(GateKind.ERROR_RATE, ("outcomes",)), Gate(GateKind.LATENCY, ("outcomes",))
    policy = users_only(WeightStep(50, max=HOUR), on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS)
    tried = replace(policy, gates=(errors, replace(latency, is_dry_run=True)))
    assert plan(tried, Traffic(2, 0.01)).steps == plan(replace(policy, gates=(errors,)), Traffic(2, 0.01)).steps


@pytest.mark.parametrize("on_no_evidence", OnNoEvidence)
def test_a_step_without_proof_lasts_as_the_policy_says(on_no_evidence: OnNoEvidence) -> None:
    short = WeightStep(50, min=timedelta(minutes=1), max=timedelta(minutes=10))
    step = first(users_only(short, on_no_evidence=on_no_evidence))
    expected = {OnNoEvidence.HOLD: step.proof, OnNoEvidence.ADVANCE_IF_NOT_GROSS: timedelta(minutes=10)}
    assert step.lasts == expected.get(on_no_evidence)
    assert (step.bakes, step.limit, step.room) == (short.min, short.max, short.max)
    assert step.canary_calls == pytest.approx((step.lasts or timedelta(minutes=10)).total_seconds(), abs=1)


def test_a_step_never_takes_less_than_its_bake_time() -> None:
    step = first(users_only(WeightStep(50, min=9 * HOUR)))
    assert (step.lasts, step.room) == (9 * HOUR, 9 * HOUR)


def test_the_whole_is_the_sum_of_its_steps_without_approvals() -> None:
    steps = (WeightStep(10, min=HOUR), ApprovalStep(), WeightStep(100, min=HOUR))
    policy = a_policy(steps=steps, judge=Judging(bad=Margin(3, 0.2)))
    whole = plan(policy, Traffic(2, 0.01))
    assert (whole.until_promoted, whole.approvals) == (2 * HOUR, 1)
    assert [step.number for step in whole.steps] == [1, 3]


def told(policy: Policy, rps: float = 2) -> list[tuple[int | None, str]]:
    """Return what speaks against a policy at that traffic, without what does at any."""
    known, found = set(risks_of(policy)), plan(policy, Traffic(rps, 0.01))
    return [(warning.step, warning.sentence) for warning in warnings_of(found) if warning not in known]


def test_a_policy_that_fits_its_traffic_raises_no_doubt() -> None:
    probe = replace(Sources(), probe=ProbeConfig(every=timedelta(seconds=1), pairs=10))
    steps = (WeightStep(50, min=timedelta(minutes=5)), WeightStep(100, min=timedelta(minutes=30)))
    assert warnings_of(plan(a_policy(sources=probe, steps=steps), Traffic(200, 0.01))) == ()


def test_a_step_that_cannot_see_a_regression_is_told() -> None:
    (proof, sight, *_) = told(users_only(WeightStep(10, max=timedelta(minutes=10))), rps=0.2)
    assert proof == (
        1,
        "proof of the 10% step takes about 18h6m at 0.2 rps, after its max of 10m it holds until then: "
        "give it more time, ask more of the probe, or name a coarser bad than 1.5x + 0.5pp",
    )
    assert sight[0] == 1
    assert sight[1].startswith(
        "this policy cannot see a 2 pp regression within its 10m step of 10% at 0.2 rps (that takes about "
    )


def test_a_step_that_is_never_proved_is_told() -> None:
    *_, last = told(users_only(WeightStep(10)), rps=0)
    assert last == (2, "nothing ever proves the step of 100% at 0 rps: add the probe to the sources of each gate")


def test_a_regression_that_nothing_shows_is_told() -> None:
    gates = (Gate(GateKind.LATENCY, ("outcomes",)),)
    *_, last = told(users_only(steps=(WeightStep(50), WeightStep(100, min=HOUR)), gates=gates))
    assert last == (
        2,
        "this policy cannot see a 10 pp regression within its 1h step of 100% at 2 rps (nothing shows it there): "
        "give it more time, or ask more of the probe",
    )


def test_a_deadline_that_comes_too_soon_is_told() -> None:
    probe = replace(Sources(), probe=ProbeConfig(every=timedelta(seconds=1), pairs=10))
    slow = a_policy(sources=probe, steps=(WeightStep(50, min=HOUR), WeightStep(100, min=HOUR)))
    assert told(replace(slow, deadline=2 * HOUR)) == [
        (None, "the steps bake for 2h, the deadline is 2h: no rollout can end well, give it more time")
    ]
    quick = a_policy(steps=(WeightStep(50), WeightStep(100)), deadline=HOUR, judge=NARROW)
    assert told(quick)[-1] == (
        None,
        "promotion takes about 6h5m at 2 rps, the deadline is 1h and then it pauses: give it more time",
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (0.61, "0.6s"),
        (3, "3s"),
        (59.6, "1m"),
        (70.4, "1m10s"),
        (600, "10m"),
        (3599, "1h"),
        (26_010, "7h14m"),
    ],
)
def test_spans_are_said_as_people_do(seconds: float, words: str) -> None:
    assert span_words(timedelta(seconds=seconds)) == words
