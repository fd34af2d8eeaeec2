"""Evidence made to measure: so much for harm, so much for safety, without the calls that would win it."""

import math
from typing import Any

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import Capital, EProcess
from foundry_rollouts.core.judging.track import Track

TALLY = Tally(1200, 14, 10_800, 3)


def capital_of(log10: float) -> Capital:
    """Return capital that amounts to that power of ten."""
    each = log10 * math.log(10) - math.log(8)
    return Capital(staked=(each,) * 7, cash=each)


def proving(harm: float = 0.0, safe: float = 0.0, **but: Any) -> EProcess:
    """Return a process whose evidence amounts to those powers of ten."""
    return EProcess(harm=capital_of(harm), safe=(safe * math.log(10) - math.log(2),) * 2, **but)


def a_track(*processes: EProcess, **but: Any) -> Track:
    """Return what the probe says about the error rate."""
    plain: dict[str, Any] = {"gate": "error-rate", "stratum": "probe", "share": 1.0, "total": TALLY, "at_step": TALLY}
    return Track(**(plain | {"processes": processes or (proving(),)} | but))
