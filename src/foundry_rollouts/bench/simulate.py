"""Let one rule lead many rollouts through the same cells, and count what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Floats, Ints
from foundry_rollouts.bench.streams import HOUR, Streams

RUNNING, ROLLED_BACK, ALL_TRAFFIC = 0, 1, 2

Progress = Callable[[str, float], None]  #: What is measured, and the part that is done, from 0 to 1.


class Pilot(Protocol):
    """Leads the runs: ``weight`` is the canary's in percent, ``ended`` says how each run stands."""

    weight: Floats
    ended: Ints

    def tick(self, at: Ints, now: float, counts: Counts) -> None:
        """Take in what the runs ``at`` counted in the interval that ends at ``now`` seconds, and decide."""


class Rule(Protocol):
    """A way to decide rollouts; ``tick`` is how many seconds lie between two ticks at the counts."""

    @property
    def name(self) -> str: ...
    @property
    def tick(self) -> float: ...
    @property
    def patience(self) -> float:
        """Return how many seconds a healthy rollout may take; what is undecided then counts as neither."""

    def pilot(self, streams: Streams) -> Pilot: ...


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each run; ``ended_at`` is infinite where nothing did."""

    ended: Ints
    ended_at: Floats  #: Seconds until the rollback, or until the canary had all traffic.
    harm: Floats  #: Failures that the canary caused in the first hour, all traffic after a promotion included.
    calls: Ints  #: On either version, until the end.

    @property
    def is_rolled_back(self) -> Bools:
        is_so: Bools = self.ended == ROLLED_BACK
        return is_so

    @property
    def has_all_traffic(self) -> Bools:
        is_so: Bools = self.ended == ALL_TRAFFIC
        return is_so


def simulate(rule: Rule, streams: Streams, progress: Progress, until: float | None = None) -> Outcomes:
    """Run ``rule`` on all of ``streams`` until every run has ended or its patience is over."""
    runs, patience = len(streams), rule.patience if until is None else until
    pilot = rule.pilot(streams)
    ended_at, harm, calls = np.full(runs, np.inf), np.zeros(runs), np.zeros(runs, dtype=np.int64)
    full_at = np.full(runs, np.inf)
    now = 0.0
    while now < patience:
        at = np.flatnonzero(pilot.ended == RUNNING)
        if not at.size:
            break
        counts, excess = streams.draw(at, now, rule.tick, pilot.weight[at])
        if now < HOUR:
            harm[at] += excess
        calls[at] += counts.calls
        now += rule.tick
        pilot.tick(at, now, counts)
        ended_at[at[pilot.ended[at] != RUNNING]] = now
        full_at[at] = np.minimum(full_at[at], np.where(pilot.weight[at] == 100, now, np.inf))
        progress(rule.name, now / patience)
    promoted = np.flatnonzero((pilot.ended == ALL_TRAFFIC) & (ended_at < HOUR))
    for moment in np.unique(ended_at[promoted]):
        at = promoted[ended_at[promoted] == moment]
        harm[at] += streams.excess_at_full_weight(at, float(moment), HOUR)
    progress(rule.name, 1.0)
    # Who bakes with all traffic has it before the end.
    ended_at = np.where(pilot.ended == ALL_TRAFFIC, np.minimum(ended_at, full_at), ended_at)
    return Outcomes(pilot.ended, ended_at, harm, calls)
