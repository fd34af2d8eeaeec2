"""How long a rollout takes at the traffic that was measured, and what would make it faster."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import a_policy
from foundry_rollouts.core.forecast.duration import faster, time_needed
from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.forecast.plan import plan
from foundry_rollouts.core.model.approval import ApprovalStep
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
from foundry_rollouts.core.model.sources import OutcomesConfig, ProbeConfig, Sources

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STEPS = (WeightStep(10, min=MINUTE), WeightStep(50, min=5 * MINUTE), WeightStep(100, min=30 * MINUTE))
BOTH = Sources(logs=None, outcomes=OutcomesConfig())
GATES = (Gate(GateKind.ERROR_RATE, ("probe", "outcomes")),)
QUIET = a_policy(steps=STEPS, sources=BOTH, gates=GATES, call_limit=None)


def changes(policy: Policy, rps: float = 0.5) -> list[str]:
    return [change.words for change in faster(plan(policy, Traffic(rps, 0.01)))]


def test_the_whole_and_each_step_are_told_and_what_would_be_faster() -> None:
    assert time_needed(QUIET, 0.5, 0.01) == (
        "at 0.5 calls a second, of which 1% fail on stable, a good version is promoted after about 1h30m "
        "(40m at 10%, 20m at 50%, 30m at 100%); it would take 1h11m with a probe every 5s, 49m with bad: 3x + 5pp or "
        "1h20m with a first weight of 20%"
    )


def test_a_change_takes_what_a_plan_with_it_takes() -> None:
    probe = replace(QUIET, sources=replace(BOTH, probe=ProbeConfig(every=5 * SECOND)))
    wider = replace(QUIET, judge=Judging(bad=Margin(3, 0.05)))
    higher = replace(QUIET, steps=(WeightStep(20, min=MINUTE), *STEPS[1:]))
    traffic = Traffic(0.5, 0.01)
    assert [change.until_promoted for change in faster(plan(QUIET, traffic))] == [
        plan(policy, traffic).until_promoted for policy in (probe, wider, higher)
    ]


def test_what_saves_little_is_not_told() -> None:
    assert changes(QUIET, rps=2000) == []
    assert " it would take " not in time_needed(QUIET, 2000, 0.01)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (replace(QUIET, sources=replace(BOTH, probe=ProbeConfig(every=SECOND))), ["bad: 3x + 5pp"]),
        (replace(QUIET, judge=Judging(bad=Margin(3, 0.05))), ["a probe every 5s", "bad: 3x + 20pp"]),
        (replace(QUIET, judge=Judging(bad=Margin(3, 0.2))), []),
        (
            replace(QUIET, judge=Judging(bad=Margin(1.5, 0.005))),
            ["a probe every 5s", "bad: 2x + 2pp", "a first weight of 20%"],
        ),
        (replace(QUIET, steps=STEPS[1:]), ["bad: 3x + 5pp"]),
        (replace(QUIET, steps=(ApprovalStep(), *STEPS)), ["a probe every 5s", "bad: 3x + 5pp"]),
        (
            replace(QUIET, steps=(WeightStep(10), WeightStep(20), WeightStep(100))),
            ["a probe every 5s", "bad: 3x + 5pp"],
        ),
    ],
)
def test_only_what_a_policy_leaves_open_is_told(policy: Policy, expected: list[str]) -> None:
    assert changes(policy) == expected


def test_automatic_steps_begin_as_high_as_they_may() -> None:
    settings = Automatic(max=10 * MINUTE)
    policy = replace(QUIET, steps=settings.steps, automatic=settings, call_limit=MINUTE)
    assert "a first weight of 2%" not in changes(policy)
    assert time_needed(policy, 0.5, 0.01).startswith(
        "at 0.5 calls a second, of which 1% fail on stable, a good version is"
    )


def test_a_version_that_gets_stuck_is_told_with_its_weight() -> None:
    hasty = replace(QUIET, on_no_evidence=OnNoEvidence.PAUSE, steps=(WeightStep(10, max=MINUTE), *STEPS[1:]))
    assert time_needed(hasty, 0.5, 0.01).startswith(
        "at 0.5 calls a second, of which 1% fail on stable, a good version does not get past 10% by itself"
    )


def test_people_are_not_foretold() -> None:
    waiting = replace(QUIET, steps=(STEPS[0], ApprovalStep(), *STEPS[1:]))
    assert "promoted after about 1h30m, without the wait for approvals (40m at 10%" in time_needed(waiting, 0.5, 0.01)
