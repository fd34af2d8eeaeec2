"""What is risky in a policy at any traffic."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from builders import a_policy
from foundry_rollouts.core.forecast.risks import risks_of
from foundry_rollouts.core.forecast.words import PolicyWarning
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.policy import Automatic, Gate, GateKind, Policy, WeightStep
from foundry_rollouts.core.model.sources import OutcomesConfig, PrometheusConfig, Sources

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BAKE = WeightStep(100, min=5 * MINUTE)


def told(policy: Policy) -> list[tuple[int | None, str]]:
    return [(warning.step, warning.sentence) for warning in risks_of(policy)]


def of_steps(*steps: Any, **but: Any) -> Policy:
    return a_policy(steps=steps, **({"call_limit": None} | but))


def automatic(**settings: Any) -> Policy:
    its = Automatic(**settings)
    return a_policy(steps=its.steps, automatic=its, call_limit=MINUTE)


def test_an_ordinary_policy_raises_no_doubt() -> None:
    assert told(a_policy()) == []
    assert told(of_steps(WeightStep(10, min=MINUTE), ApprovalStep(), BAKE, warm_up=MINUTE)) == []
    assert told(automatic(bake=5 * MINUTE)) == []


@pytest.mark.parametrize(
    ("policy", "doubt"),
    [
        (
            of_steps(WeightStep(10, min=59 * SECOND), BAKE),
            (
                1,
                "the step of 10% may end after 59s; a call may take 1m, and slow ones are often those that fail: "
                "write min: 1m",
            ),
        ),
        (
            of_steps(ApprovalStep(), WeightStep(10, min=MINUTE), BAKE, call_limit=90 * SECOND),
            (2, "the step of 10% lasts 1m30s, as call-limit says, not 1m: write min: 1m30s"),
        ),
        (
            of_steps(WeightStep(10, min=MINUTE), WeightStep(100, min=299 * SECOND)),
            (2, "100% is a bake, and its 4m59s are all the time in which it is watched: write min: 5m"),
        ),
        (
            automatic(),
            (7, "100% is a bake, and its 1m are all the time in which it is watched: write bake: 5m"),
        ),
        (
            automatic(bake=5 * MINUTE, soak=30 * SECOND),
            (6, "the step of 50% lasts 1m, as call-limit says, not 30s: write soak: 1m"),
        ),
        (
            of_steps(WeightStep(10, min=MINUTE), BAKE, warm_up=61 * SECOND),
            (1, "warm-up lasts 1m1s, the step of 10% only 1m, in which 25 points more are let pass: write min: 1m1s"),
        ),
        (
            of_steps(BAKE),
            (
                1,
                "the only weight is 100%, where nothing is proved before all users meet it: add a step below it, for "
                "example {weight: 10}",
            ),
        ),
        (
            a_policy(on_split=OnSplit.NOTE),
            (
                None,
                "on-split: note goes on where new sessions do not follow the weights, and then a step may meet nobody, "
                "or everybody: write hold or pause",
            ),
        ),
    ],
)
def test_what_begins_to_be_risky_is_told(policy: Policy, doubt: tuple[int | None, str]) -> None:
    assert told(policy) == [doubt]


def test_where_clusters_are_learnt_that_is_noted_and_is_no_risk() -> None:
    counted = PrometheusConfig("http://p", "c", "f")
    gates = (Gate(GateKind.ERROR_RATE, ("outcomes", "prometheus")),)
    sources = Sources(probe=None, logs=None, outcomes=OutcomesConfig(), prometheus=counted)
    assert list(risks_of(a_policy(sources=sources, gates=gates))) == [
        PolicyWarning(
            None,
            "prometheus knows no sessions: how many calls fail together is learnt from stable's failures, and until "
            "then its evidence counts less: write cluster: 1 where each fails on its own",
            where=("sources", "prometheus"),
            is_note=True,
        )
    ]
    known = replace(sources, prometheus=replace(counted, cluster=1.0))
    assert told(a_policy(sources=known, gates=gates)) == []
