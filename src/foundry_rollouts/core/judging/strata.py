"""Strata of one gate: whose calls they see, and what they show together."""

import math
from collections.abc import Callable, Sequence

from foundry_rollouts.core.judging.logarithms import log_sum
from foundry_rollouts.core.judging.track import Track


def over_disjoint(tracks: Sequence[Track], log_of: Callable[[Track], float]) -> float:
    """Return the evidence of all strata together, as a logarithm; ``log_of`` says what one shows.

    Users' calls and the probe's are different calls, so that what they show multiplies; sources of the same calls of
    users are averaged with their shares (``statistics.md``, 10.8).
    """
    groups = [[track for track in tracks if track.is_probe is is_probe] for is_probe in (False, True)]
    return sum(_mean(group, log_of) for group in groups if group)


def _mean(group: Sequence[Track], log_of: Callable[[Track], float]) -> float:
    whole = sum(track.share for track in group)
    return log_sum(math.log(track.share / whole) + log_of(track) for track in group)
