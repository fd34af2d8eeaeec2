"""What was counted between two points of a rollout, by the source that saw most of its users."""

import math
from collections.abc import Sequence
from datetime import timedelta

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.model.policy import Gate
from foundry_rollouts.operations.replayed import Key, Point

LEAST_CALLS = 40  #: Below that no rate is drawn: two unlucky calls would look like a disaster.
LONGEST = timedelta(minutes=5)  #: So much of the past one point of a rate holds at most.
Z95 = 1.96  #: Standard deviations of a 95% range.


def main_stratum(gate: Gate, point: Point) -> Key | None:
    """Return the stratum that saw most calls of users; several see the same ones, so that one speaks for all."""
    keys = [key for key in point.totals if key[0] == gate.name]
    return max(keys, key=lambda key: (_is_of_users(key), point.totals[key].calls), default=None)


def _is_of_users(key: Key) -> bool:
    return key[1].rpartition("/")[2] != "probe"


def wilson(failures: int, calls: int) -> tuple[float, float]:
    """Return the 95% range of a rate (Wilson)."""
    rate, square = failures / calls, Z95**2
    middle, spread = rate + square / (2 * calls), Z95 * math.sqrt((rate * (1 - rate) + square / (4 * calls)) / calls)
    whole = 1 + square / calls
    return max((middle - spread) / whole, 0.0), min((middle + spread) / whole, 1.0)


def since(points: Sequence[Point], end: int, key: Key) -> Tally:
    """Return the newest calls up to the point ``end``: enough for a rate, and of the last minutes only."""
    last, begin = points[end], end
    tally = Tally()
    while begin > 0:
        begin -= 1
        tally = between(points[begin], last, key)
        is_enough = min(tally.canary_calls, tally.stable_calls) >= LEAST_CALLS
        if is_enough or last.at - points[begin].at >= LONGEST:
            return tally
    return last.totals.get(key, Tally())


def between(first: Point, last: Point, key: Key) -> Tally:
    """Return what was counted after one point and up to another."""
    one, other = first.totals.get(key, Tally()), last.totals.get(key, Tally())
    return Tally(
        other.canary_calls - one.canary_calls,
        other.canary_failures - one.canary_failures,
        other.stable_calls - one.stable_calls,
        other.stable_failures - one.stable_failures,
    )
