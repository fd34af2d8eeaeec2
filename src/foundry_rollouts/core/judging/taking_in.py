"""Take in a measurement: what it adds to one track, and which intervals it opens, amends and closes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import reduce
from typing import NamedTuple

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import (
    LEARNING_CALLS,
    LONGEST_WINDOW,
    SHORTEST_WINDOW,
    SLOW,
    TELLING_CALLS,
    WHOLE,
)
from foundry_rollouts.core.judging.shared import SharedTrouble
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.judging.stakes import Interval, Stakes, Terms, bet
from foundry_rollouts.core.judging.track import Moment, Track, at_most, settling
from foundry_rollouts.core.model.failures import ErrorKind, kind_of
from foundry_rollouts.core.model.measurement import Counts, Histogram, Measurement, Tallied, quantile
from foundry_rollouts.core.model.policy import Gate, GateKind


def taken_in(track: Track, gate: Gate, moment: Moment, seen: Measurement) -> Track:
    """Return ``track`` after a measurement of its stratum."""
    watched, busiest = _timed(track, seen)
    if gate.kind is GateKind.LATENCY and not track.edges:
        return replace(_learnt(track, seen), watched=watched, busiest=busiest, trouble=seen.trouble)
    tallies = tuple(_tallies(track, gate, moment, seen))
    main = tallies[0]
    weighed = _weighed(track, gate, moment, _interval(moment, seen, tallies))
    stakes = weighed.stakes
    return replace(
        track,
        processes=stakes.processes,
        strict=stakes.strict,
        ceiling=stakes.ceiling,
        pot=stakes.pot,
        guard=stakes.guard,
        closed=weighed.closed,
        open=weighed.open,
        until=weighed.until,
        shared=weighed.shared,
        spread=weighed.spread,
        watched=watched,
        busiest=busiest,
        trouble=seen.trouble,
        total=track.total + main,
        at_step=track.at_step + main,
        causes=_causes(track, seen.canary),
        # Calls count for when they began, and are fresh when they are heard of.
        seen_at=_latest(weighed.until, seen.window.end) if main.canary_calls or seen.canary.heard else track.seen_at,
    )


def _latest(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def _interval(moment: Moment, seen: Measurement, tallies: tuple[Tally, ...]) -> Interval:
    window, is_warm = seen.window, moment.is_warm(seen.window)
    return Interval(window.end, window.seconds, tallies, is_warm=is_warm, is_troubled=moment.is_troubled)


class Weighed(NamedTuple):
    """What follows from one interval, or from more that was heard of one."""

    stakes: Stakes
    closed: Stakes | None
    open: tuple[Interval, ...]
    until: datetime | None
    shared: SharedTrouble | None
    spread: Spread | None


def _weighed(track: Track, gate: Gate, moment: Moment, seen: Interval) -> Weighed:
    is_late = track.until is not None and seen.end <= track.until
    # The time of an interval passes once, however often more is heard of it.
    seen = replace(seen, seconds=0.0) if is_late else seen
    # What is learnt from an interval has no say in the bets on it.
    terms, proven = moment.terms(track, gate), track.proven
    compared = _compared_with_before(track, gate, seen, terms.bets.cluster)
    late = next((place for place, each in enumerate(track.open) if is_late and seen.end <= each.end), None)
    if late is not None:
        intervals = _amended(track.open, late, track.open[late].with_late(seen.tallies))
        return Weighed(_rebet(proven, terms, intervals), track.closed, intervals, track.until, *compared)
    if not is_late and track.open and track.open[-1].is_part:
        intervals = _amended(track.open, len(track.open) - 1, track.open[-1].going_on(seen))
        stakes = _rebet(proven, terms, intervals)
    else:
        intervals, stakes = (*track.open, seen), bet(track.stakes, terms, seen)
    *older, newest = intervals
    # A failure of the canary ends a window early. Were that an interval of its own, outcomes would choose what is
    # compared with what; so it goes on until it is as long as a window that nothing cut short.
    is_part = newest.seconds < WHOLE * moment.tick.total_seconds()
    closed, still = _closed(proven, (*older, replace(newest, is_part=is_part)), terms, moment)
    return Weighed(stakes, closed, still, _latest(track.until, newest.end), *compared)


def _amended(intervals: tuple[Interval, ...], place: int, amended: Interval) -> tuple[Interval, ...]:
    return (*intervals[:place], amended, *intervals[place + 1 :])


def _rebet(proven: Stakes, terms: Terms, intervals: Sequence[Interval]) -> Stakes:
    """Return what follows from ``intervals``, worked out anew as more is known of one of them."""
    return reduce(lambda stakes, each: bet(stakes, terms, each), intervals, proven)


def _compared_with_before(
    track: Track, gate: Gate, seen: Interval, cluster: float
) -> tuple[SharedTrouble | None, Spread | None]:
    """Note whether stable fails more than before, and how far its failures scatter."""
    main, shared, spread = seen.tallies[0], track.shared, track.spread
    if gate.kind is GateKind.ERROR_RATE and track.kind is None:
        shared = (shared or SharedTrouble()).after(main, seen.seconds, is_on=seen.is_troubled, cluster=cluster)
    if spread is not None and not seen.is_troubled:
        rate = track.processes[0].guess.rate
        spread = spread.after(main.stable_calls, main.stable_failures, rate, seen.seconds)
    return shared, spread


def _closed(
    proven: Stakes, intervals: tuple[Interval, ...], terms: Terms, moment: Moment
) -> tuple[Stakes | None, tuple[Interval, ...]]:
    """Close the intervals of which nothing more is to come; return the evidence before those that stay open."""
    settle = settling(moment.rollout)
    still = tuple(each for each in intervals if each.is_part or moment.now - each.end < settle)
    if not still:
        return None, ()
    return _rebet(proven, terms, intervals[: len(intervals) - len(still)]), still


def _timed(track: Track, seen: Measurement) -> tuple[float, float]:
    """Return how long the source watched by now, and how busy it was.

    A window that begins long ago spans a time in which nobody watched: it counts as none.
    """
    seconds, calls = seen.window.seconds, seen.canary.calls + seen.stable.calls
    if seen.trouble or seconds > LONGEST_WINDOW or _is_late(track, seen):
        return track.watched, track.busiest
    is_telling = seconds >= SHORTEST_WINDOW and calls >= TELLING_CALLS
    return track.watched + seconds, max(track.busiest, at_most(calls) / seconds) if is_telling else track.busiest


def _is_late(track: Track, seen: Measurement) -> bool:
    return track.until is not None and seen.window.end <= track.until


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
