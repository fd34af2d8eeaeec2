"""What no test can beat, and how sure a measured part is."""

import math

import numpy as np

from foundry_rollouts.bench.bets import nearest
from foundry_rollouts.core.model.policy import Margin


def upper_bound(hits: int, runs: int) -> float:
    """Return the part that lies above the true one with 95 % confidence (Clopper and Pearson, one-sided)."""
    low, high = hits / runs, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(hits, runs, middle) > 0.05 else (low, middle)
    return high


def _tail(hits: int, runs: int, part: float) -> float:
    """Return the chance of at most ``hits`` among ``runs`` where each hits with the chance ``part``."""
    if not 0 < part < 1:
        return float(part <= 0)
    logs = [
        math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
        + k * math.log(part) + (runs - k) * math.log1p(-part)
        for k in range(hits + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))


def calls_bound(canary: float, stable: float, share: float, tolerate: Margin, alpha: float) -> float:
    """Return how many calls, on either version, any test needs on average to see that the canary is not tolerated.

    Wald's bound for the nearest pair of tolerated rates: ``log(1/alpha)`` over the information in one call.
    """
    claim = (np.array([[canary]]), np.array([[stable]]))
    fair_stable = float(nearest(tolerate, *claim, np.array([[share]]))[0, 0])
    fair_canary = tolerate.of(fair_stable)
    information = share * divergence(canary, fair_canary) + (1 - share) * divergence(stable, fair_stable)
    return -math.log(alpha) / information


def divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of two rates."""
    failed = p * math.log(p / q) if p > 0 else 0.0
    passed = (1 - p) * (math.log1p(-p) - math.log1p(-q)) if p < 1 else 0.0
    return failed + passed
