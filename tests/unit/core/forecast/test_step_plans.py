"""What a plan says of one step, field by field."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import a_policy
from foundry_rollouts.core.forecast.expectation import Traffic, gross_seconds, proof_seconds
from foundry_rollouts.core.forecast.harm import harm_seconds
from foundry_rollouts.core.forecast.plan import LONGEST, StepPlan, plan, regressions
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import (
    Automatic,
    Gate,
    GateKind,
    Judging,
    Margin,
    OnNoEvidence,
    Policy,
    WeightStep,
)
from foundry_rollouts.core.model.sources import OutcomesConfig, ProbeConfig, PrometheusConfig, Sources

MINUTE = timedelta(minutes=1)
ERRORS = Gate(GateKind.ERROR_RATE, ("outcomes",))
LINES = Gate(GateKind.LOG_ERRORS, ("outcomes",))
USERS = Sources(probe=None, logs=None, outcomes=OutcomesConfig())
TRAFFIC = Traffic(20, 0.01)
#: The limits for which the formulas' numbers are published.
NARROW = Judging(bad=Margin(1.5, 0.005))


def users_only(*steps: Any, **but: Any) -> Policy:
    plain = {"sources": USERS, "gates": (ERRORS,), "judge": NARROW}
    return a_policy(**({"steps": (*steps, WeightStep(100))} | plain | but))


def first(policy: Policy, traffic: Traffic = TRAFFIC) -> StepPlan:
    return plan(policy, traffic).steps[0]


@pytest.mark.parametrize(
    ("stable", "rates"), [(0.01, [0.02, 0.03, 0.11, 1.0]), (0.6, [1.0, 0.62, 0.7, 1.0]), (0.99, [1.0, 1.0, 1.0, 1.0])]
)
def test_a_plan_looks_at_twice_the_failures_at_some_points_more_and_at_a_dead_canary(
    stable: float, rates: list[float]
) -> None:
    found = regressions(Traffic(1, stable))
    assert [each.name for each in found] == ["twice", "+2 points", "+10 points", "dead"]
    assert [each.canary_rate for each in found] == pytest.approx(rates)


def test_a_step_says_what_it_takes_and_what_it_shows() -> None:
    probe = ProbeConfig(every=timedelta(seconds=2), pairs=3)
    policy = users_only(
        WeightStep(20, min=2 * MINUTE, max=90 * MINUTE),
        sources=replace(USERS, probe=probe),
        gates=(ERRORS, LINES),
    )
    step = first(policy)
    proof = max(proof_seconds(policy, gate, 20, TRAFFIC) for gate in policy.gates)
    assert (step.number, step.weight, step.bakes, step.limit) == (1, 20, 2 * MINUTE, 90 * MINUTE)
    assert step.proof == step.lasts == timedelta(seconds=proof)
    assert step.canary_calls == round(20 * 0.2 * proof)
    assert step.stable_calls == round(20 * 0.8 * proof)
    assert step.probe_pairs == math.floor(1.5 * proof)
    for seen in step.seen:
        expected = harm_seconds(policy, 20, TRAFFIC, seen.regression.canary_rate)
        assert seen.after == (None if math.isinf(expected) else timedelta(seconds=expected))


def test_the_slowest_gate_has_to_prove_and_the_slowest_to_exclude_what_is_gross() -> None:
    late = PrometheusConfig("http://p", "c", "f", every=10 * MINUTE, delay=5 * MINUTE)
    policy = users_only(
        WeightStep(50, max=MINUTE),
        sources=replace(USERS, prometheus=late),
        gates=(LINES, replace(ERRORS, sources=("prometheus",))),
        on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS,
    )
    proofs = [proof_seconds(policy, gate, 50, TRAFFIC) for gate in policy.gates]
    grosses = [gross_seconds(policy, gate, 50, TRAFFIC) for gate in policy.gates]
    assert grosses[1] > max(60, grosses[0])
    assert first(policy).proof == timedelta(seconds=max(proofs))
    assert first(policy).lasts == timedelta(seconds=grosses[1])


def test_without_proof_in_time_a_step_lasts_as_long_as_it_may_go_on() -> None:
    quick = users_only(WeightStep(50, max=MINUTE), on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS)
    assert gross_seconds(quick, ERRORS, 50, TRAFFIC) < 60
    assert first(quick).lasts == MINUTE
    proof = first(users_only(WeightStep(50))).proof
    assert proof is not None
    just = users_only(WeightStep(50, max=proof + timedelta(microseconds=1)), on_no_evidence=OnNoEvidence.PAUSE)
    assert first(just).lasts == proof
    short = users_only(WeightStep(50, max=proof - timedelta(microseconds=1)), on_no_evidence=OnNoEvidence.PAUSE)
    assert first(short).lasts is None
    assert first(short).canary_calls == round(20 * 0.5 * proof.total_seconds())


def test_a_step_bakes_its_time_even_where_it_is_proved_sooner() -> None:
    assert first(users_only(WeightStep(50, min=600 * MINUTE))).lasts == 600 * MINUTE


@pytest.mark.parametrize(("stretch", "is_ever"), [(0.999, True), (1.001, False)])
def test_what_takes_longer_than_ten_years_is_never(stretch: float, is_ever: bool) -> None:
    assert timedelta(days=3650) == LONGEST
    assert first(users_only(WeightStep(50, min=LONGEST))).lasts == LONGEST
    assert first(users_only(WeightStep(50, min=LONGEST + MINUTE))).lasts is None
    seconds = proof_seconds(users_only(WeightStep(50)), ERRORS, 50, Traffic(1.0, 0.01))
    rps = seconds / (LONGEST.total_seconds() * stretch)
    assert (first(users_only(WeightStep(50)), Traffic(rps, 0.01)).proof is not None) is is_ever


def test_without_limit_or_end_no_calls_are_foretold() -> None:
    step = first(users_only(WeightStep(50)), Traffic(0.0, 0.01))
    assert (step.proof, step.lasts, step.room) == (None, None, None)
    assert (step.canary_calls, step.stable_calls, step.probe_pairs) == (0, 0, 0)
    hopeless = first(users_only(WeightStep(50), judge=Judging(tolerate=Margin(1), bad=Margin(1))))
    assert (hopeless.proof, hopeless.canary_calls, hopeless.stable_calls) == (None, 0, 0)


def test_the_room_of_a_step_is_its_limit_or_else_how_long_it_lasts() -> None:
    limited = first(users_only(WeightStep(50, max=600 * MINUTE)))
    assert (limited.room, limited.lasts == limited.room) == (600 * MINUTE, False)
    open_ended = first(users_only(WeightStep(50)))
    assert open_ended.room == open_ended.lasts


def test_the_whole_is_the_sum_of_its_steps_and_never_where_one_never_ends() -> None:
    found = plan(users_only(WeightStep(10), ApprovalStep(), WeightStep(50), ApprovalStep()), TRAFFIC)
    assert [step.number for step in found.steps] == [1, 3, 5]
    assert found.approvals == 2
    lasts = [step.lasts for step in found.steps if step.lasts is not None]
    assert len(lasts) == 3
    assert found.until_promoted == lasts[0] + lasts[1] + lasts[2]
    assert plan(users_only(WeightStep(50)), Traffic(0, 0.01)).until_promoted is None


def test_automatic_steps_are_those_that_the_evidence_takes_each_left_when_it_leads_on() -> None:
    settings = Automatic(20, soak=3 * MINUTE, bake=7 * MINUTE)
    policy = a_policy(steps=settings.steps, automatic=settings, sources=USERS, gates=(ERRORS,), judge=NARROW)
    found = plan(policy, Traffic(200, 0.01))
    assert [step.weight for step in found.steps] == [1, 2, 10, 20, 50, 100]
    assert [step.number for step in found.steps] == [1, 2, 4, 5, 6, 7]
    seconds = [round(step.lasts.total_seconds(), 1) for step in found.steps if step.lasts]
    assert seconds == [10.0, 10.0, 10.0, 19.5, 180.0, 420.0]
    stuck = plan(policy, Traffic(0, 0.01))
    assert [step.weight for step in stuck.steps] == [1, 50, 100]


def test_a_number_keeps_a_step_that_goes_on_without_proof_waiting() -> None:
    late = PrometheusConfig("http://p", "c", "f", every=10 * MINUTE, delay=5 * MINUTE, values=(("cost", "q"),))
    value = Gate(GateKind.VALUE, ("prometheus",), bounds=Bounds("cost", max=1, windows=2))
    policy = users_only(
        WeightStep(50, max=MINUTE),
        sources=replace(USERS, prometheus=late),
        gates=(ERRORS, value),
        on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS,
    )
    assert first(policy).lasts == 25 * MINUTE


def automatic(**but: Any) -> Policy:
    its = Automatic(20, soak=3 * MINUTE, bake=7 * MINUTE, max=10 * MINUTE)
    return a_policy(**({"steps": its.steps, "automatic": its, "sources": USERS, "gates": (ERRORS,)} | but))


def lasting(policy: Policy, traffic: Traffic) -> dict[int, float]:
    return {step.weight: round(step.lasts.total_seconds()) for step in plan(policy, traffic).steps if step.lasts}


def test_automatic_steps_wait_for_calls_under_way_and_for_new_sandboxes() -> None:
    busy = Traffic(200, 0.01)
    plain = lasting(automatic(judge=NARROW), busy)
    assert plain[1] == 10
    slow = lasting(automatic(judge=NARROW, call_limit=MINUTE), busy)
    assert min(slow.values()) >= 60
    warm = lasting(automatic(judge=NARROW, warm_up=MINUTE), busy)
    assert min(seconds for weight, seconds in warm.items() if 1 < weight < 50) > 60


def test_automatic_steps_whose_time_is_over_go_on_to_the_next_weight() -> None:
    """Nothing but the probe sees calls, so that no traffic is known; less than 16 points worse is known in time."""
    probed = Sources(logs=None, probe=ProbeConfig(every=MINUTE / 6))
    gates = (Gate(GateKind.ERROR_RATE, ("probe",)),)
    found = lasting(automatic(sources=probed, gates=gates, judge=NARROW), Traffic(2, 0.01))
    assert list(found)[:5] == [1, 2, 5, 10, 20]
    assert {found[weight] for weight in (1, 2, 5, 10, 20)} == {600}
    slower = replace(probed, probe=ProbeConfig(every=2 * MINUTE))
    late = lasting(automatic(sources=slower, gates=gates, judge=NARROW), Traffic(2, 0.01))
    assert late[1] > 600
    assert late[2] == 600
