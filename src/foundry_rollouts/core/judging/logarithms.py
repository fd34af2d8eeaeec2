"""Evidence is added up as natural logarithms; only where it is shown it becomes a power of ten."""

import math
from collections.abc import Iterable

TEN = math.log(10)


def log_sum(logs: Iterable[float]) -> float:
    """Return the logarithm of the sum of the numbers whose logarithms are ``logs``."""
    values = list(logs)
    most = max(values, default=-math.inf)
    if most == -math.inf:
        return most
    return most + math.log(sum([math.exp(value - most) for value in values]))


def log_mean(logs: Iterable[float]) -> float:
    """Return the logarithm of the mean of the numbers whose logarithms are ``logs``."""
    values = list(logs)
    return log_sum(values) - math.log(len(values))


def as_log10(log: float) -> float:
    """Return a natural logarithm as a power of ten."""
    return log / TEN
