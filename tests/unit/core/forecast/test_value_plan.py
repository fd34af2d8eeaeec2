"""What to expect of gates on a value: so many windows at every step, and never where stable's number is unknown."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import a_policy
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import plan
from foundry_rollouts.core.forecast.risks import risks_of
from foundry_rollouts.core.forecast.values import seconds_within
from foundry_rollouts.core.forecast.warnings import warnings_of
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.policy import Gate, GateKind, OnNoEvidence, Policy, WeightStep
from foundry_rollouts.core.model.sources import HttpConfig, ProbeConfig, PrometheusConfig, Sources

MINUTE = timedelta(minutes=1)
LATE = timedelta(seconds=15)
TRAFFIC = Traffic(2, 0.01)
METRICS = PrometheusConfig(
    "http://p", "{version}", "{version}", every=MINUTE, delay=LATE, values=(("cost", "{version}"),)
)


def a_valued(*steps: WeightStep, **bounds: Any) -> Policy:
    gate = Gate(GateKind.VALUE, ("prometheus",), bounds=Bounds("cost", windows=4, **bounds))
    return a_policy(steps=steps, gates=(gate,), sources=Sources(probe=None, logs=None, prometheus=METRICS))


def told(policy: Policy) -> list[tuple[int | None, str]]:
    known = set(risks_of(policy))
    found = warnings_of(plan(policy, TRAFFIC))
    return [(warning.step, warning.sentence) for warning in found if warning not in known]


@pytest.mark.parametrize(
    ("bounds", "first", "proof"),
    [
        ({"max": 5}, 10, 4 * MINUTE + LATE),
        ({"at_most": 2}, 10, 4 * MINUTE + LATE),
        ({"max": 5}, 100, 4 * MINUTE + LATE),
        ({"at_most": 2}, 100, None),
    ],
)
def test_a_number_takes_so_many_windows_at_every_step(
    bounds: dict[str, float], first: int, proof: timedelta | None
) -> None:
    steps = (WeightStep(weight) for weight in sorted({first, 100}))
    assert {step.proof for step in plan(a_valued(*steps, **bounds), TRAFFIC).steps} == {proof}


def test_a_dry_run_of_a_number_keeps_nobody_waiting() -> None:
    policy = a_valued(WeightStep(10), WeightStep(100), max=5)
    (value,), errors = policy.gates, Gate(GateKind.ERROR_RATE, ("probe",))
    sources = replace(policy.sources, probe=ProbeConfig(every=timedelta(milliseconds=1)))
    both = replace(policy, sources=sources, gates=(errors, value))
    dry, alone = replace(both, gates=(errors, replace(value, is_dry_run=True))), replace(both, gates=(errors,))
    assert plan(dry, TRAFFIC).steps == plan(alone, TRAFFIC).steps
    assert plan(both, TRAFFIC).steps[0].proof == 4 * MINUTE + LATE


def test_a_step_that_goes_on_without_proof_waits_for_the_number_all_the_same() -> None:
    policy = a_valued(WeightStep(10, max=MINUTE), WeightStep(100), max=5)
    policy = replace(policy, on_no_evidence=OnNoEvidence.ADVANCE_IF_NOT_GROSS)
    assert plan(policy, TRAFFIC).steps[0].lasts == 4 * MINUTE + LATE


def test_a_number_that_takes_too_many_windows_is_told() -> None:
    assert told(a_valued(WeightStep(10, max=MINUTE), WeightStep(100), at_most=2))[0] == (
        1,
        "proof of the 10% step takes about 4m15s at 2 rps, after its max of 1m it holds until then: "
        "give it more time, or ask fewer windows of value:cost",
    )


def test_a_number_whose_counterpart_nobody_knows_is_told() -> None:
    assert told(a_valued(WeightStep(100), at_most=2))[0] == (
        1,
        "nothing ever proves the step of 100% at 2 rps: nobody knows stable's number at 100%, "
        "write min or max for the value, or begin at a lower weight",
    )


def test_a_policy_without_numbers_waits_for_none() -> None:
    assert seconds_within(a_policy()) == 0.0


@pytest.mark.parametrize("but", [{"is_dry_run": True}, {"bounds": Bounds("cost", max=5, windows=1)}])
def test_a_number_that_is_not_what_takes_so_long_is_not_blamed(but: dict[str, Any]) -> None:
    policy = a_valued(WeightStep(10, max=MINUTE), WeightStep(100), max=5)
    slow = Gate(GateKind.ERROR_RATE, ("prometheus",))
    gates = (slow, replace(policy.gates[0], **({"bounds": Bounds("cost", max=5, windows=10_000)} | but)))
    assert "ask more of the probe, or name a coarser bad than" in told(replace(policy, gates=gates))[0][1]


def test_all_numbers_of_all_sources_are_waited_for() -> None:
    slower = HttpConfig("http://h", "/c", "/f", every=2 * MINUTE, delay=MINUTE, values=(("cost", "/cost"),))
    gate = Gate(GateKind.VALUE, ("prometheus", "http"), bounds=Bounds("cost", max=5, windows=4))
    sources = Sources(probe=None, logs=None, prometheus=METRICS, http=slower)
    policy = a_policy(steps=(WeightStep(100),), gates=(gate,), sources=sources)
    assert seconds_within(policy) == 9 * 60
    assert seconds_within(replace(policy, gates=(replace(gate, sources=("http", "prometheus")),))) == 9 * 60


def test_a_step_whose_time_is_just_enough_is_proved_in_it() -> None:
    just = a_valued(WeightStep(10, max=4 * MINUTE + LATE), WeightStep(100), max=5)
    assert plan(replace(just, on_no_evidence=OnNoEvidence.PAUSE), TRAFFIC).steps[0].lasts == 4 * MINUTE + LATE
