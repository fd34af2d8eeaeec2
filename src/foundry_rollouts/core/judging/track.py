"""What one source says about one gate: every interval that it counted, and the evidence that it amounts to.

Calls are reported late: one that hangs for a minute is known a minute after it began. So the intervals of the last
minute stay open. Harm is judged on all that is known of them; safety only on those that are closed, of which nothing
more is to come (``statistics.md``, 10.7).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import EProcess, Hypotheses
from foundry_rollouts.core.judging.constants import (
    LEARNING_CALLS,
    LONGEST_WINDOW,
    SHORTEST_WINDOW,
    SLOW,
    TELLING_CALLS,
    WHOLE,
)
from foundry_rollouts.core.judging.one_armed import CeilingProcess, Guard
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.judging.stakes import Interval, Stakes, Terms, bet, restaked
from foundry_rollouts.core.model.failures import ErrorKind, kind_of
from foundry_rollouts.core.model.measurement import Counts, Histogram, Measurement, Tallied, Window, quantile
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


def taken_in(track: Track, gate: Gate, moment: Moment, seen: Measurement) -> Track:
    """Return ``track`` after a measurement of its stratum."""
    track = replace(_timed(track, seen), trouble=seen.trouble)
    if gate.kind is GateKind.LATENCY and not track.edges:
        return _learnt(track, seen)
    tallies = tuple(_tallies(track, gate, moment, seen))
    main = tallies[0]
    track = _weighed(track, gate, moment, _interval(moment, seen, tallies))
    return replace(
        track,
        total=track.total + main,
        at_step=track.at_step + main,
        causes=_causes(track, seen.canary),
        # Calls count for when they began, and are fresh when they are heard of.
        seen_at=_latest(track.until, seen.window.end) if main.canary_calls or seen.canary.heard else track.seen_at,
    )


def _latest(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def _interval(moment: Moment, seen: Measurement, tallies: tuple[Tally, ...]) -> Interval:
    window, is_warm = seen.window, moment.is_warm(seen.window)
    return Interval(window.end, window.seconds, tallies, is_warm=is_warm, is_troubled=moment.is_troubled)


def _weighed(track: Track, gate: Gate, moment: Moment, seen: Interval) -> Track:
    is_late = track.until is not None and seen.end <= track.until
    # The time of an interval passes once, however often more is heard of it.
    seen = replace(seen, seconds=0.0) if is_late else seen
    # What is learnt from an interval has no say in the bets on it.
    terms = moment.terms(track, gate)
    track = _compared_with_before(track, gate, moment, seen)
    late = next((place for place, each in enumerate(track.open) if is_late and seen.end <= each.end), None)
    if late is not None:
        return _amended(track, terms, late, track.open[late].with_late(seen.tallies))
    if not is_late and track.open and track.open[-1].is_part:
        return _newest(_amended(track, terms, len(track.open) - 1, track.open[-1].going_on(seen)), terms, moment)
    opened = replace(track.holding(bet(track.stakes, terms, seen)), closed=track.proven, open=(*track.open, seen))
    return _newest(opened, terms, moment)


def _amended(track: Track, terms: Terms, place: int, interval: Interval) -> Track:
    """Return the track with more known of one of its open intervals: what follows from it is worked out anew."""
    intervals = (*track.open[:place], interval, *track.open[place + 1 :])
    stakes = reduce(lambda stakes, each: bet(stakes, terms, each), intervals, track.proven)
    return replace(track.holding(stakes), open=intervals)


def _newest(track: Track, terms: Terms, moment: Moment) -> Track:
    """Note whether the newest interval goes on, and close the old ones.

    A failure of the canary ends a window early. Were that an interval of its own, outcomes would choose what is
    compared with what; so it goes on until it is as long as a window that nothing cut short.
    """
    *older, newest = track.open
    is_part = newest.seconds < WHOLE * moment.tick.total_seconds()
    track = replace(track, open=(*older, replace(newest, is_part=is_part)), until=_latest(track.until, newest.end))
    return _closed(track, terms, moment)


def _compared_with_before(track: Track, gate: Gate, moment: Moment, seen: Interval) -> Track:
    """Note whether stable fails more than before, and how far its failures scatter."""
    main, cluster = seen.tallies[0], moment.terms(track, gate).bets.cluster
    if gate.kind is GateKind.ERROR_RATE and track.kind is None:
        shared = track.shared or SharedTrouble()
        track = replace(track, shared=shared.after(main, seen.seconds, is_on=seen.is_troubled, cluster=cluster))
    if track.spread is not None and not seen.is_troubled:
        rate = track.processes[0].guess.rate
        track = replace(track, spread=track.spread.after(main.stable_calls, main.stable_failures, rate, seen.seconds))
    return track


def _closed(track: Track, terms: Terms, moment: Moment) -> Track:
    """Close the intervals of which nothing more is to come."""
    settle = settling(moment.rollout)
    still = [each for each in track.open if each.is_part or moment.now - each.end < settle]
    if not still:
        return replace(track, open=(), closed=None)
    done = track.open[: len(track.open) - len(still)]
    closed = reduce(lambda stakes, each: bet(stakes, terms, each), done, track.proven)
    return replace(track, open=tuple(still), closed=closed)


def settling(rollout: Rollout) -> timedelta:
    """Return how long after an interval all of its calls are known."""
    policy = rollout.policy
    if policy.call_limit is not None:
        return policy.call_limit
    reached = [step.min for step in policy.steps[: rollout.step] if isinstance(step, WeightStep)]
    # Automatic steps that the earlier release began name no time of their own.
    least = reached[-1] if reached else CALL_LIMIT
    return min(CALL_LIMIT, least or CALL_LIMIT) if policy.automatic else min(CALL_LIMIT, least)


def _timed(track: Track, seen: Measurement) -> Track:
    """Note how long the source watched, and how busy it was.

    A window that begins long ago spans a time in which nobody watched: it counts as none.
    """
    seconds, calls = seen.window.seconds, seen.canary.calls + seen.stable.calls
    if seen.trouble or seconds > LONGEST_WINDOW or _is_late(track, seen):
        return track
    is_telling = seconds >= SHORTEST_WINDOW and calls >= TELLING_CALLS
    busiest = max(track.busiest, at_most(calls) / seconds) if is_telling else track.busiest
    return replace(track, watched=track.watched + seconds, busiest=busiest)


def _is_late(track: Track, seen: Measurement) -> bool:
    return track.until is not None and seen.window.end <= track.until


def at_most(calls: float) -> float:
    """Return how many calls to expect at most, with some 95 percent confidence, where so many were counted."""
    return calls + 2 * math.sqrt(calls) + 3


def _tallies(track: Track, gate: Gate, moment: Moment, seen: Measurement) -> Iterable[Tally]:
    canary, stable = seen.canary, seen.stable
    if track.kind is ErrorKind.CLIENT_ERROR:
        yield Tally(canary.calls, canary.client_errors, stable.calls, stable.client_errors)
        return
    match gate.kind:
        case GateKind.ERROR_RATE:
            ignores = ErrorKind.RATE_LIMITED in moment.rollout.policy.ignored_errors
            failed, stable_failed = (
                each.failures - min(each.rate_limited, each.failures) * ignores for each in (canary, stable)
            )
            yield Tally(canary.calls, failed, stable.calls, stable_failed)
        case GateKind.LOG_ERRORS:
            yield Tally(canary.calls, canary.log_errors, stable.calls, stable.log_errors)
        case GateKind.LATENCY:
            for edge in track.edges:
                yield Tally(*_slower(canary.latencies, edge), *_slower(stable.latencies, edge))


def _slower(latencies: Histogram, edge: int) -> tuple[int, int]:
    """Return how many samples there are, and how many of them are slower than the bucket ``edge``."""
    return sum(n for _, n in latencies), sum(n for bucket, n in latencies if bucket > edge)


def _learnt(track: Track, seen: Measurement) -> Track:
    """Learn what is slow from stable alone; the samples that teach it are never bet on."""
    learnt = (Counts(latencies=track.learnt) + Counts(latencies=seen.stable.latencies)).latencies
    if sum(n for _, n in learnt) < LEARNING_CALLS:
        return replace(track, learnt=learnt)
    edges = tuple(edge for share in SLOW if (edge := quantile(learnt, share)) is not None)
    return replace(track, learnt=(), edges=edges)


def _causes(track: Track, canary: Counts) -> Tallied:
    """Return why canary samples failed, of the kind that the track is about."""
    is_about = track.kind is ErrorKind.CLIENT_ERROR
    new = tuple(pair for pair in canary.causes if (kind_of(pair[0]) is ErrorKind.CLIENT_ERROR) is is_about)
    return (Counts(causes=track.causes) + Counts(causes=new)).causes
