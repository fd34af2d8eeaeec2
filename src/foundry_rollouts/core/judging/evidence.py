"""What all measurements so far amount to, kept apart by gate and stratum.

Counts are never pooled over sources, time or weights: a shared outage in the middle of a step would make a
harmless canary seem bad, and the other way round. Each stratum of each gate has processes of its own.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.judging.capital import (
    CeilingProcess,
    EProcess,
    Hypotheses,
    Tally,
    begin,
    begin_floor,
    observed,
    observed_floor,
    reweighted,
)
from foundry_rollouts.core.judging.constants import (
    LEARNING_CALLS,
    LONGEST_WINDOW,
    SHORTEST_WINDOW,
    SLOW,
    STRICT,
    TELLING_CALLS,
)
from foundry_rollouts.core.judging.values import ValueTrack, at_new_step, tracked, valued
from foundry_rollouts.core.model.failures import ErrorKind, kind_of
from foundry_rollouts.core.model.measurement import Counts, Histogram, Measurement, Tallied, quantile
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import PriorCounts

#: Sources that tell calls that were refused as the caller's mistake from those that failed.
TELL_CLIENT_ERRORS = frozenset({"probe", "logs", "outcomes"})


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


@dataclass(frozen=True, slots=True)
class Evidence:
    """One track for each gate and stratum, and one for each number that must lie within bounds."""

    tracks: tuple[Track, ...] = ()
    values: tuple[ValueTrack, ...] = ()
    is_proved: bool = False  #: Every gate was proved at once, at this weight or at one before.
    beside: tuple[Track, ...] = ()  #: Calls refused as the callers' mistake: they may show harm, and prove nothing.

    def of(self, gate: Gate) -> tuple[Track, ...]:
        return tuple(track for track in self.tracks if track.gate == gate.name)

    def client_errors(self, gate: Gate) -> tuple[Track, ...]:
        return tuple(track for track in self.beside if track.gate == gate.name)


def history_of(evidence: Evidence) -> tuple[PriorCounts, ...]:
    """Return what a trial tells of its canary, for the time when that is the stable version."""
    return tuple(
        PriorCounts(track.gate, track.stratum, track.total.canary_calls, track.total.canary_failures)
        for track in evidence.tracks
        if track.gate != GateKind.LATENCY and track.total.canary_calls
    )


def initial(policy: Policy, history: Sequence[PriorCounts] = ()) -> Evidence:
    """Return the evidence of a rollout that has seen nothing yet, and knows ``history`` of its stable version."""
    known = {(old.gate, old.source): Tally(stable_calls=old.calls, stable_failures=old.failures) for old in history}
    return Evidence(
        tuple(
            Track(
                gate=gate.name,
                stratum=stratum,
                share=share,
                processes=_processes(gate, known.get((gate.name, stratum))),
                strict=begin(known.get((gate.name, stratum))) if gate.max is not None else None,
                ceiling=begin_floor() if gate.max is not None else None,
            )
            for gate in policy.gates
            for stratum, share in strata(policy, gate)
        ),
        tracked(policy),
        beside=_beside(policy),
    )


def _beside(policy: Policy) -> tuple[Track, ...]:
    """Return the tracks of client errors, as both versions face the same callers; none where the policy ignores them.

    Mixed with the errors they would hide those: where a third of all calls are callers' mistakes on both versions, a
    few percent of broken ones more are within tolerance.
    """
    if ErrorKind.CLIENT_ERROR in policy.ignored_errors:
        return ()
    return tuple(
        Track(gate=gate.name, stratum=stratum, share=share, processes=(begin(),), kind=ErrorKind.CLIENT_ERROR)
        for gate in policy.gates
        if gate.kind is GateKind.ERROR_RATE
        for stratum, share in strata(policy, gate)
        if stratum.partition("/")[0] in TELL_CLIENT_ERRORS
    )


def _processes(gate: Gate, known: Tally | None) -> tuple[EProcess, ...]:
    return tuple(begin() for _ in SLOW) if gate.kind is GateKind.LATENCY else (begin(known),)


def strata(policy: Policy, gate: Gate) -> tuple[tuple[str, float], ...]:
    """Return the strata of a gate with their shares: its sources have the parts that the gate gives them.

    Logs of users' sessions and of probe sessions are strata of their own: the probe divides its calls evenly, the
    users are divided by weight, and mixing the two would hide what either says.
    """
    parts: list[tuple[str, float]] = []
    for source in gate.sources if gate.bounds is None else ():
        share = gate.share_of(source)
        if source == "logs" and policy.sources.probe is not None:
            parts += [("logs", share / 2), ("logs/probe", share / 2)]
        else:
            parts.append((source, share))
    return tuple(parts)


def at_new_weight(evidence: Evidence) -> Evidence:
    """Return the evidence with which a step at another weight begins: each step earns its own proof."""
    return replace(
        evidence,
        tracks=tuple(_at_new_weight(track) for track in evidence.tracks),
        values=at_new_step(evidence.values),
        beside=tuple(_at_new_weight(track) for track in evidence.beside),
    )


def _at_new_weight(track: Track) -> Track:
    return replace(
        track,
        processes=tuple(reweighted(process) for process in track.processes),
        strict=reweighted(track.strict) if track.strict else None,
        at_step=Tally(),
        seen_at=None,
        watched=0.0,
    )


def update(evidence: Evidence, policy: Policy, measurements: Sequence[Measurement]) -> Evidence:
    """Return ``evidence`` after ``measurements``, each of which goes to the tracks of its stratum only."""
    gates = {gate.name: gate for gate in policy.gates}
    # The release before kept none of them.
    tracks, values, beside = evidence.tracks, evidence.values, evidence.beside or _beside(policy)
    for measurement in measurements:
        tracks = tuple(
            _watched(track, gates[track.gate], policy, measurement) if track.stratum == measurement.source else track
            for track in tracks
        )
        values = valued(values, policy, measurement)
        beside = tuple(
            _refused(track, policy, measurement) if track.stratum == measurement.source else track for track in beside
        )
    return Evidence(tracks, values, evidence.is_proved, beside)


def _refused(track: Track, policy: Policy, seen: Measurement) -> Track:
    canary, stable = seen.canary, seen.stable
    tally = Tally(canary.calls, canary.client_errors, stable.calls, stable.client_errors)
    bets = Hypotheses(policy.judge.tolerate, policy.judge.bad)
    (process,) = track.processes
    return replace(
        track,
        processes=(observed(process, bets, tally, seen.window.seconds),),
        total=track.total + tally,
        at_step=track.at_step + tally,
        causes=_causes(track, canary, ErrorKind.CLIENT_ERROR),
        seen_at=seen.window.end if canary.calls else track.seen_at,
    )


def _causes(track: Track, canary: Counts, kind: ErrorKind | None) -> Tallied:
    new = tuple((cause, times) for cause, times in canary.causes if kind_of(cause) is kind)
    return (Counts(causes=track.causes) + Counts(causes=new)).causes


def _watched(track: Track, gate: Gate, policy: Policy, seen: Measurement) -> Track:
    track = replace(_timed(track, seen), trouble=seen.trouble)
    if gate.kind is GateKind.LATENCY and not track.edges:
        return _learnt(track, seen)
    tallies = tuple(_tallies(track, gate, seen))
    bets = Hypotheses(policy.judge.tolerate, policy.judge.bad)
    seconds = seen.window.seconds
    main = tallies[0]
    return replace(
        track,
        processes=tuple(
            observed(process, bets, tally, seconds) for process, tally in zip(track.processes, tallies, strict=True)
        ),
        strict=observed(track.strict, Hypotheses(STRICT, policy.judge.bad), main, seconds) if track.strict else None,
        ceiling=observed_floor(track.ceiling, gate.max, main.canary_calls, main.canary_failures, seconds)
        if track.ceiling and gate.max is not None
        else None,
        total=track.total + main,
        at_step=track.at_step + main,
        causes=_causes(track, seen.canary, None),
        seen_at=seen.window.end if main.canary_calls else track.seen_at,
    )


def _timed(track: Track, seen: Measurement) -> Track:
    """Note how long the source watched, and how busy it was.

    A window that begins long ago spans a time in which nobody watched: it counts as none.
    """
    seconds, calls = seen.window.seconds, seen.canary.calls + seen.stable.calls
    if seen.trouble or seconds > LONGEST_WINDOW:
        return track
    is_telling = seconds >= SHORTEST_WINDOW and calls >= TELLING_CALLS
    busiest = max(track.busiest, at_most(calls) / seconds) if is_telling else track.busiest
    return replace(track, watched=track.watched + seconds, busiest=busiest)


def at_most(calls: float) -> float:
    """Return how many calls to expect at most, with some 95 percent confidence, where so many were counted."""
    return calls + 2 * math.sqrt(calls) + 3


def _tallies(track: Track, gate: Gate, seen: Measurement) -> Iterable[Tally]:
    canary, stable = seen.canary, seen.stable
    match gate.kind:
        case GateKind.ERROR_RATE:
            yield Tally(canary.calls, canary.failures, stable.calls, stable.failures)
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
