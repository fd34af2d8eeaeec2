"""What the policy promises to practitioners, measured on seeded traffic.

A bound from a sample is stated with its confidence: after ``k`` of ``n`` the true share lies below
``upper_bound(k, n)`` with 95 % confidence.
"""

import math
from collections.abc import Callable, Iterator

import pytest
from numpy.random import Generator, default_rng

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Hypotheses, begin, observed, reweighted, samples_to_prove
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.model.policy import Margin

#: The strictest tolerance, so that equal versions stand on the very edge of it.
STRICT = Hypotheses(tolerate=Margin(1.0), bad=Margin(1.5, 0.005))
DEFAULT = Hypotheses(tolerate=Margin(1.2), bad=Margin(1.5, 0.005))
RUNS = 300
INTERVALS, CALLS = 16, 900  # the first half of the intervals at weight 10, the second at 50

#: The failure rate and the canary's share of calls in an interval.
Traffic = Callable[[int], tuple[float, float]]


def weight(i: int) -> float:
    return 0.1 if i < INTERVALS // 2 else 0.5


def flat(i: int) -> tuple[float, float]:
    return 0.01, weight(i)


def outage(i: int) -> tuple[float, float]:
    return 0.3 if 9 <= i < 13 else 0.01, weight(i)


def oscillating(i: int) -> tuple[float, float]:
    """The share swings by half around its weight while the rate drifts up: the weights are never true."""
    return 0.01 + 0.04 * i / INTERVALS, weight(i) * (1 + 0.5 * math.sin(1.1 * i))


def upper_bound(hits: int, runs: int) -> float:
    """Return the exact (Clopper and Pearson) one-sided bound of 95 %."""
    low, high = hits / runs, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        tail = sum(math.comb(runs, k) * middle**k * (1 - middle) ** (runs - k) for k in range(hits + 1))
        low, high = (middle, high) if tail > 0.05 else (low, middle)
    return high


def dice_for(name: str) -> Generator:
    return default_rng(list(name.encode()))


def drawn(dice: Generator, calls: int, share: float) -> int:
    """Draw how many of ``calls`` are of a kind that makes up ``share`` of all."""
    return int(dice.binomial(calls, share))


def tallies(dice: Generator, traffic: Traffic, times_worse: float = 1.0) -> Iterator[Tally]:
    for i in range(INTERVALS):
        rate, share = traffic(i)
        canary = drawn(dice, CALLS, share)
        worse = min(1.0, rate * times_worse)
        yield Tally(canary, drawn(dice, canary, worse), CALLS - canary, drawn(dice, CALLS - canary, rate))


def most_harm(dice: Generator, traffic: Traffic, times_worse: float = 1.0) -> float:
    """Return the strongest evidence of harm that anybody who looks all the time would see in one rollout."""
    process, most = begin(), 0.0
    for i, tally in enumerate(tallies(dice, traffic, times_worse)):
        process = observed(reweighted(process) if i == INTERVALS // 2 else process, STRICT, tally, 45)
        most = max(most, as_log10(process.harm_log))
    return most


@pytest.mark.parametrize("traffic", [flat, outage, oscillating])
def test_at_most_one_in_a_hundred_equal_versions_is_ever_rolled_back(traffic: Traffic) -> None:
    dice = dice_for(f"equal {traffic.__name__}")
    seen = [most_harm(dice, traffic) for _ in range(RUNS)]
    assert upper_bound(sum(harm >= 2 for harm in seen), RUNS) <= 0.01
    assert upper_bound(sum(harm >= math.log10(20) for harm in seen), RUNS) <= 0.05


@pytest.mark.parametrize("traffic", [flat, outage, oscillating])
def test_the_same_traffic_betrays_a_canary_three_times_as_bad(traffic: Traffic) -> None:
    dice = dice_for(f"worse {traffic.__name__}")
    caught = sum(most_harm(dice, traffic, times_worse=3.0) >= 2 for _ in range(40))
    assert caught >= 38


@pytest.mark.parametrize("traffic", [flat, outage, oscillating])
def test_a_canary_on_the_bad_line_is_called_safe_about_as_seldom_as_promised(traffic: Traffic) -> None:
    """Of 100 runs at a true share of 5 %, more than 10 would be seen once in ninety times."""
    dice = dice_for(f"bad {traffic.__name__}")
    called_safe = 0
    for _ in range(100):
        process, safe = begin(), False
        for i in range(INTERVALS):
            rate, share = traffic(i)
            n = drawn(dice, CALLS, share)
            bad = DEFAULT.bad.of(rate)
            tally = Tally(n, drawn(dice, n, bad), CALLS - n, drawn(dice, CALLS - n, rate))
            process = observed(process, DEFAULT, tally, 45)
            safe = safe or as_log10(process.safe_log) >= math.log10(20)
        called_safe += safe
    assert called_safe <= 10


#: Requests on either version until safety is proved, from the plan.
PLAN = {
    (0.001, 10): 10_359,
    (0.001, 50): 2_307,
    (0.01, 10): 13_028,
    (0.01, 50): 4_379,
    (0.05, 10): 6_025,
    (0.05, 50): 2_368,
}


@pytest.mark.parametrize(("rate", "weight"), PLAN)
def test_the_plan_is_the_published_table(rate: float, weight: int) -> None:
    assert samples_to_prove(rate, weight, DEFAULT, 0.05) == pytest.approx(PLAN[rate, weight], abs=0.5)


@pytest.mark.parametrize(("rate", "weight", "size"), [(0.001, 50, 200), (0.01, 50, 200), (0.05, 50, 100)])
def test_the_plan_foretells_what_a_healthy_canary_takes(rate: float, weight: int, size: int) -> None:
    dice = dice_for(f"plan {rate} {weight}")
    canary = size * weight // 100
    taken = []
    for _ in range(150):
        process, calls = begin(), 0
        while as_log10(process.safe_log) < math.log10(20):
            tally = Tally(canary, drawn(dice, canary, rate), size - canary, drawn(dice, size - canary, rate))
            process, calls = observed(process, DEFAULT, tally, 5), calls + size
        taken.append(calls)
    assert sum(taken) / len(taken) == pytest.approx(samples_to_prove(rate, weight, DEFAULT, 0.05), rel=0.15)
