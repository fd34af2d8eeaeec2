"""What one source says about one gate: every interval that it counted, and the evidence that it amounts to.

Calls are reported late: one that hangs for a minute is known a minute after it began. So the intervals of the last
minute stay open. Harm is judged on all that is known of them; safety only on those that are closed, of which nothing
more is to come (``statistics.md``, 10.7).
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import EProcess, Hypotheses
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.judging.stakes import Interval, Stakes, Terms, restaked
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Histogram, Tallied, Window
from foundry_rollouts.core.model.policy import CALL_LIMIT, Gate, GateKind, Policy, WeightStep
from foundry_rollouts.core.model.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Track:
    """What one stratum says about one gate."""

    gate: str
    stratum: str
    share: float  #: Its part in the gate's evidence; the shares of a gate sum to 1.
    processes: tuple[EProcess, ...]
    strict: EProcess | None = None  #: With a ceiling: harm without any tolerance.
    ceiling: CeilingProcess | None = None  #: With a ceiling: the canary alone against it.
    total: Tally = Tally()
    at_step: Tally = Tally()
    causes: Tallied = ()  #: Why canary samples failed.
    learnt: Histogram = ()  #: Stable's latencies, until the edges are set.
    edges: tuple[int, ...] = ()  #: Latency buckets above which a sample counts as slow.
    seen_at: datetime | None = None  #: When a canary sample was last seen at this step.
    trouble: str | None = None  #: Why the source could not count, as of its last word.
    watched: float = 0.0  #: Seconds of this step in which the source could count.
    busiest: float = 0.0  #: Calls a second in the busiest window, rather too many; of the whole trial.
    kind: ErrorKind | None = None  #: None: plain errors.
    pot: EProcess | None = None  #: Harm while the canary warms up; None: the policy grants no warm-up.
    guard: Guard | None = None  #: Harm at 100.
    closed: Stakes | None = None  #: The evidence before the open intervals; None: none is open.
    open: tuple[Interval, ...] = ()  #: Of which more may be heard, oldest first.
    until: datetime | None = None  #: When the newest interval ended.
    shared: SharedTrouble | None = None  #: Whether stable fails more than before.
    spread: Spread | None = (
        None  #: How far stable's failures scatter; None: the policy says it, or sessions are counted.
    )

    @property
    def stakes(self) -> Stakes:
        """The evidence as of now."""
        return Stakes(self.processes, self.strict, self.ceiling, self.pot, self.guard)

    @property
    def proven(self) -> Stakes:
        """The evidence of closed intervals, which is all that proves safety."""
        return self.closed or self.stakes

    @property
    def is_probe(self) -> bool:
        """Whether it is about calls of ours, which no user made."""
        return self.stratum.rpartition("/")[2] == "probe"

    def holding(self, stakes: Stakes) -> "Track":
        return replace(
            self,
            processes=stakes.processes,
            strict=stakes.strict,
            ceiling=stakes.ceiling,
            pot=stakes.pot,
            guard=stakes.guard,
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """When and under what a measurement is taken in."""

    rollout: Rollout
    now: datetime
    is_troubled: bool = False  #: Both versions are in trouble.
    tick: timedelta = timedelta(0)  #: How long a window is that no failure ended early.

    def is_warm(self, window: Window) -> bool:
        """Whether the canary's sandboxes are still new when an interval begins."""
        began, warm_up = self.rollout.step_started_at, self.rollout.policy.warm_up
        return began is not None and bool(warm_up) and window.start < began + warm_up

    def terms(self, track: Track, gate: Gate) -> Terms:
        policy = self.rollout.policy
        bets = Hypotheses(policy.judge.tolerate, policy.judge.bad, cluster_of(track, policy))
        is_guarded = gate.kind is not GateKind.LATENCY and not track.is_probe
        calm = track.shared.before if track.shared else None
        return Terms(bets, gate.max, has_all_traffic=self.rollout.weight == 100 and is_guarded, calm=calm)


def cluster_of(track: Track, policy: Policy) -> float:
    """Return how many calls of the stratum fail together at most, as the policy says or as stable has shown."""
    return track.spread.cluster if track.spread else policy.sources.cluster_of(track.stratum) or 1.0


def at_new_weight(track: Track) -> Track:
    """Return the track with which a step at another weight begins."""
    return replace(
        track.holding(restaked(track.stakes)),
        at_step=Tally(),
        seen_at=None,
        watched=0.0,
        closed=None,
        open=(),
        shared=track.shared.at_new_weight() if track.shared else None,
    )


def settling(rollout: Rollout) -> timedelta:
    """Return how long after an interval all of its calls are known."""
    policy = rollout.policy
    if policy.call_limit is not None:
        return policy.call_limit
    reached = [step.min for step in policy.steps[: rollout.step] if isinstance(step, WeightStep)]
    # Automatic steps that the earlier release began name no time of their own.
    least = reached[-1] if reached else CALL_LIMIT
    return min(CALL_LIMIT, least or CALL_LIMIT) if policy.automatic else min(CALL_LIMIT, least)


def at_most(calls: float) -> float:
    """Return how many calls to expect at most, with some 95 percent confidence, where so many were counted."""
    return calls + 2 * math.sqrt(calls) + 3
