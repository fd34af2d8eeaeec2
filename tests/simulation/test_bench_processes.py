"""The evidence of many runs at once is the evidence of the core."""

import numpy as np
import pytest

from foundry_rollouts.bench.arrays import Counts
from foundry_rollouts.bench.processes import ScalarProcesses, VectorProcesses
from foundry_rollouts.core.judging.capital import Hypotheses
from foundry_rollouts.core.model.policy import Margin

RUNS, INTERVALS = 8, 60
LINES = [
    Hypotheses(Margin(1.2), Margin(1.5, 0.005)),
    Hypotheses(Margin(1.0), Margin(1.5, 0.005)),
    Hypotheses(Margin(1.0, 0.01), Margin(3.0, 0.2)),
    Hypotheses(Margin(20.0, 0.3), Margin(30.0, 0.5)),
]


def drawn(dice: np.random.Generator, places: int) -> Counts:
    """Return counts of every kind: none on one version, on both, all failed, hundreds of calls."""
    calls = dice.integers(0, dice.choice([2, 12, 400]), size=(2, places))
    failures = dice.binomial(calls, dice.choice([0.0, 0.01, 0.3, 1.0], size=(2, places)))
    return Counts(calls[0], failures[0], calls[1], failures[1])


@pytest.mark.parametrize("bets", LINES)
@pytest.mark.parametrize("seconds", [5.0, 45.0, 130.0])
@pytest.mark.parametrize("is_known", [False, True])
def test_it_equals_the_core_on_any_counts(bets: Hypotheses, seconds: float, is_known: bool) -> None:
    dice = np.random.default_rng([int(seconds), LINES.index(bets)])
    known = dice.binomial(500, dice.choice([0.0, 0.02, 0.3], size=RUNS)).astype(np.float64) if is_known else None
    ours, core = VectorProcesses(RUNS, bets, known=known), ScalarProcesses(RUNS, bets, known)
    everyone = np.arange(RUNS)
    for interval in range(INTERVALS):
        at = np.flatnonzero(dice.random(RUNS) < 0.8)
        counts = drawn(dice, len(at))
        for each in (ours, core):
            if interval % 20 == 10:
                each.reweigh(at)
            each.observe(at, counts, seconds)
    np.testing.assert_allclose(ours.harm(everyone), core.harm(everyone), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(ours.safe(everyone), core.safe(everyone), rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(ours.at_most_worse(everyone, 0.05), core.at_most_worse(everyone, 0.05))
