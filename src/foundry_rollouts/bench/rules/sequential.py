"""Sequential tests that only watch: ours, an oracle that knows both rates, and the mixture test on pooled counts.

Each returns, for every run and tick, the natural logarithm of its evidence that the canary is worse.
"""

import numpy as np

from foundry_rollouts.bench.arrays import Counts, Floats
from foundry_rollouts.bench.processes import VectorProcesses
from foundry_rollouts.bench.recording import Recording
from foundry_rollouts.core.judging.capital import Hypotheses
from foundry_rollouts.core.model.policy import Margin

TOLERATING_NOTHING = Hypotheses(tolerate=Margin(1.0), bad=Margin(1.5, 0.005))


def ours(seen: Recording, new_weight_at: int | None = None) -> Floats:
    """Return the evidence of our judge, which learns at which tick (``new_weight_at``) begins another weight."""
    runs = seen.harm.shape[0]
    processes, everyone = VectorProcesses(runs, TOLERATING_NOTHING, (), seen.known), np.arange(runs)
    evidence = np.empty(seen.harm.shape)
    for number in range(seen.ticks):
        if number == new_weight_at:
            processes.reweigh(everyone)
        processes.observe(everyone, seen.at_tick(number), seen.tick)
        evidence[:, number] = processes.harm(everyone)
    return evidence


def oracle(seen: Recording, canary: float, stable: float) -> Floats:
    """Return the likelihood ratio of the true rate of the canary against the true rate of stable: Wald's own test."""
    calls, failed = seen.counts.canary_calls, seen.counts.canary_failures
    dead = np.log(np.maximum(1 - canary, 1e-12)) - np.log1p(-stable)
    gained = failed * np.log(canary / stable) + (calls - failed) * dead
    evidence: Floats = gained.cumsum(axis=1)
    return evidence


def mixture(seen: Recording, effect: float) -> Floats:
    """Return the evidence of the mixture test (mSPRT), tuned to a difference of ``effect``, on pooled counts."""
    calls, stable_calls, difference, variance = _pooled(seen.counts)
    spread = effect**2
    with np.errstate(divide="ignore", invalid="ignore"):
        evidence = 0.5 * np.log(variance / (variance + spread)) + spread * difference**2 / (
            2 * variance * (variance + spread)
        )
    is_known = (calls > 0) & (stable_calls > 0) & (difference > 0) & (variance > 0)
    return np.where(is_known, evidence, 0.0)


def pooled_z(seen: Recording) -> Floats:
    """Return how many standard deviations the canary's rate lies above stable's, over all that was counted."""
    calls, stable_calls, difference, variance = _pooled(seen.counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = difference / np.sqrt(variance)
    return np.where((calls > 0) & (stable_calls > 0) & (variance > 0), z, 0.0)


def _pooled(counts: Counts) -> tuple[Floats, Floats, Floats, Floats]:
    calls = counts.canary_calls.cumsum(axis=1).astype(np.float64)
    stable_calls = counts.stable_calls.cumsum(axis=1).astype(np.float64)
    failed, stable_failed = counts.canary_failures.cumsum(axis=1), counts.stable_failures.cumsum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = (failed + stable_failed) / (calls + stable_calls)
        difference = failed / calls - stable_failed / stable_calls
        variance = rate * (1 - rate) * (1 / calls + 1 / stable_calls)
    return calls, stable_calls, difference, variance
