"""The rule that is measured as ours is led by the twin, or by the product itself, and ends as rules do."""

from dataclasses import replace

import numpy as np
import pytest

from foundry_rollouts.bench.rules.ours import DEFAULT, STRICT, Ours, automatic
from foundry_rollouts.bench.simulate import ALL_TRAFFIC, ROLLED_BACK, RUNNING, Outcomes, simulate
from foundry_rollouts.bench.streams import Cell, Streams
from foundry_rollouts.bench.world.product import policy_of
from foundry_rollouts.core.model.policy import GateKind, Judging, OnNoEvidence, WeightStep
from foundry_rollouts.policies.presets import PRESETS

QUICK = Ours("ours", STRICT)


def led(rule: Ours, cell: Cell, runs: int = 2, until: float = 1500.0) -> Outcomes:
    return simulate(rule, Streams([cell], runs, np.random.default_rng(7)), lambda _what, _part: None, until)


@pytest.mark.parametrize(
    ("rule", "cell"),
    [
        (QUICK, Cell(200.0, 0.01)),
        (QUICK, Cell(20.0, 0.01, "5x")),
        (QUICK, Cell(2.0, 0.01, "dead")),
        (QUICK, Cell(0.2, 0.05, "2x")),
        (QUICK, Cell(20.0, 0.05, pattern="outage", share="oscillating", outage_at=120.0)),
        (Ours("automatic", automatic(5.0)), Cell(20.0, 0.01)),
        (Ours("automatic", automatic(60.0)), Cell(20.0, 0.01, "dead")),
    ],
    ids=str,
)
def test_the_product_ends_where_its_twin_does(rule: Ours, cell: Cell) -> None:
    twin, product = led(rule, cell), led(replace(rule, is_scalar=True), cell)
    assert twin.ended.tolist() == product.ended.tolist()
    assert twin.ended_at.tolist() == product.ended_at.tolist()
    assert twin.harm.tolist() == product.harm.tolist()


def test_the_default_policy_has_all_traffic_before_its_bake_is_over() -> None:
    rule, streams = Ours("default", DEFAULT, DEFAULT.deadline), Streams([Cell(20.0, 0.01)], 2, np.random.default_rng(1))
    pilot, now, everyone = rule.pilot(streams), 0.0, np.arange(2)
    full_at = np.full(2, np.inf)
    while now < 3600 and (pilot.ended == RUNNING).any():
        counts, _ = streams.draw(everyone, now, rule.tick, pilot.weight)
        now += rule.tick
        pilot.tick(everyone, now, counts)
        full_at = np.where(np.isinf(full_at) & (pilot.weight == 100), now, full_at)
    assert pilot.ended.tolist() == [ALL_TRAFFIC] * 2
    assert now - full_at.min() >= 1800
    seen = simulate(rule, Streams([Cell(20.0, 0.01)], 2, np.random.default_rng(1)), lambda _what, _part: None)
    assert seen.ended_at.tolist() == full_at.tolist()


def test_a_dead_canary_goes_back() -> None:
    assert set(led(QUICK, Cell(2.0, 0.01, "dead")).ended.tolist()) == {ROLLED_BACK}


def test_the_default_is_the_preset_standard() -> None:
    policy, preset = policy_of(DEFAULT), PRESETS["standard"]
    steps = [step for step in policy.steps if isinstance(step, WeightStep)]
    minutes = [(int(step.min.total_seconds() // 60), step.max) for step in steps]
    assert [step.weight for step in steps] == [each["weight"] for each in preset["steps"]]
    assert [f"{least}m" for least, _ in minutes] == [each["min"] for each in preset["steps"]]
    assert [most is None for _, most in minutes] == ["max" not in each for each in preset["steps"]]
    assert {str(policy.judge.tolerate), str(policy.judge.bad)} == {preset["judge"]["tolerate"], preset["judge"]["bad"]}
    assert policy.judge == Judging(bad=policy.judge.bad)
    (gate,) = policy.gates
    assert (gate.kind, f"{100 * (gate.max or 0):g}%") == (GateKind.ERROR_RATE, preset["gates"][0]["error-rate"]["max"])
    assert f"{policy.warm_up.total_seconds():g}s" == preset["warm-up"]
    assert policy.call_limit is None
    assert policy.on_no_evidence == OnNoEvidence(preset["on-no-evidence"])
