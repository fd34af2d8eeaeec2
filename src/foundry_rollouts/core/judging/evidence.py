"""What all measurements so far amount to, kept apart by gate and stratum.

Counts are never pooled over sources, time or weights: a shared outage in the middle of a step would make a
harmless canary seem bad, and the other way round. Each stratum of each gate has processes of its own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.capital import begin
from foundry_rollouts.core.judging.constants import LONGEST_CALL, MINUTE, SLOW, TELLING_CALLS, TIMED_CALLS, TROUBLE_ODDS
from foundry_rollouts.core.judging.one_armed import begin_floor
from foundry_rollouts.core.judging.shared import SharedTrouble, begin_trouble
from foundry_rollouts.core.judging.split import Split
from foundry_rollouts.core.judging.spread import Spread
from foundry_rollouts.core.judging.strata import over_disjoint
from foundry_rollouts.core.judging.taking_in import taken_in
from foundry_rollouts.core.judging.track import Moment, Track, settling
from foundry_rollouts.core.judging.track import at_new_weight as reweighed
from foundry_rollouts.core.judging.values import ValueTrack, at_new_step, tracked, valued
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Histogram, Measurement, quantile, seconds_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import PriorCounts, Rollout

#: Sources that tell calls that were refused as the caller's mistake from those that failed.
TELL_CLIENT_ERRORS = frozenset({"probe", "logs", "outcomes"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """One track for each gate and stratum, and one for each number that must lie within bounds."""

    tracks: tuple[Track, ...] = ()
    values: tuple[ValueTrack, ...] = ()
    is_proved: bool = False  #: Every gate was proved at once, at this weight or at one before.
    beside: tuple[Track, ...] = ()  #: Calls refused as the callers' mistake: they may show harm, and prove nothing.
    splits: tuple[Split, ...] = ()  #: How new sessions were divided at this step.
    durations: Histogram = ()  #: How long stable's calls took, in the whole trial.
    is_troubled: bool = False  #: Stable fails more than before too: nothing is proved until that is over.

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
            _track(policy, gate, stratum, share, known.get((gate.name, stratum)))
            for gate in policy.gates
            for stratum, share in strata(policy, gate)
        ),
        tracked(policy),
        beside=_beside(policy),
    )


def _track(policy: Policy, gate: Gate, stratum: str, share: float, known: Tally | None) -> Track:
    counts_failures = gate.kind is not GateKind.LATENCY
    process = begin(known)
    return Track(
        gate=gate.name,
        stratum=stratum,
        share=share,
        processes=(process,) if counts_failures else tuple(begin() for _ in SLOW),
        strict=process if gate.max is not None else None,
        ceiling=begin_floor() if gate.max is not None else None,
        pot=begin() if counts_failures and policy.warm_up else None,
        shared=begin_trouble(known) if gate.kind is GateKind.ERROR_RATE else None,
        spread=Spread() if policy.sources.cluster_of(stratum) is None else None,
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


def strata(policy: Policy, gate: Gate) -> tuple[tuple[str, float], ...]:
    """Return the strata of a gate with their shares: its sources have the parts that the gate gives them.

    Logs of users' sessions and of probe sessions are strata of their own: the probe divides its calls evenly, the
    users are divided by weight, and mixing the two would hide what either says. Whether a probe's call failed the
    probe itself says, and it is not counted a second time.
    """
    parts: list[tuple[str, float]] = []
    for source in gate.sources if gate.bounds is None else ():
        share = gate.share_of(source)
        is_twofold = gate.kind is not GateKind.ERROR_RATE or "probe" not in gate.sources
        if source == "logs" and policy.sources.probe is not None and is_twofold:
            parts += [("logs", share / 2), ("logs/probe", share / 2)]
        else:
            parts.append((source, share))
    return tuple(parts)


def at_new_weight(evidence: Evidence) -> Evidence:
    """Return the evidence with which a step at another weight begins: each step earns its own proof."""
    return replace(
        evidence,
        tracks=tuple(reweighed(track) for track in evidence.tracks),
        values=at_new_step(evidence.values),
        beside=tuple(reweighed(track) for track in evidence.beside),
        splits=(),
    )


def update(
    evidence: Evidence,
    rollout: Rollout,
    measurements: Sequence[Measurement],
    now: datetime,
    tick: timedelta = timedelta(0),
) -> Evidence:
    """Return ``evidence`` after ``measurements``, each of which goes to the tracks of its stratum only.

    Windows shorter than ``tick`` are parts of intervals as long as that; without it each window is an interval.
    """
    policy = rollout.policy
    gates = {gate.name: gate for gate in policy.gates}
    moment = Moment(rollout, now, is_troubled=evidence.is_troubled, tick=tick)
    # The release before kept none of them.
    tracks, values, beside = evidence.tracks, evidence.values, evidence.beside or _beside(policy)
    for seen in measurements:
        tracks, beside = (_taken_in(of, gates, moment, seen) for of in (tracks, beside))
        values = valued(values, policy, seen)
    splits = _divided(evidence.splits, rollout, measurements, now)
    durations = sum((seen.stable for seen in measurements), start=Counts(latencies=evidence.durations)).latencies
    after = replace(evidence, tracks=tracks, values=values, beside=beside, splits=splits, durations=durations)
    return with_trouble(after)


def _taken_in(
    tracks: tuple[Track, ...], gates: Mapping[str, Gate], moment: Moment, seen: Measurement
) -> tuple[Track, ...]:
    return tuple(
        taken_in(track, gates[track.gate], moment, seen) if track.stratum == seen.source else track for track in tracks
    )


def longest_call(evidence: Evidence, rollout: Rollout) -> timedelta:
    """Return how long a call may take: as the policy says or, where it does not, as one in a thousand of stable's does.

    Before a step is as old as that, the slowest calls of it, which are often those that fail, are not known.
    """
    if rollout.policy.call_limit is not None:
        return rollout.policy.call_limit
    heard = sum(count for _, count in evidence.durations)
    slowest = quantile(evidence.durations, 0.999) if heard >= TIMED_CALLS else None
    seen = timedelta(seconds=seconds_of(slowest)) if slowest else timedelta(0)
    return max(settling(rollout), min(seen, LONGEST_CALL))


def measured_traffic(evidence: Evidence) -> tuple[float, float] | None:
    """Return users' calls a second at this step and what stable fails at; None while that is not known yet.

    Several sources see the same users: the one that sees most speaks for all.
    """
    heard = [track for track in evidence.tracks if track.watched >= MINUTE and track.gate == GateKind.ERROR_RATE]
    if not heard or any(track.trouble or track.at_step.stable_calls < TELLING_CALLS for track in heard):
        return None
    users = [track for track in heard if not track.is_probe]
    busiest = max(users or heard, key=lambda track: track.at_step.calls / track.watched)
    return (busiest.at_step.calls / busiest.watched if users else 0.0), busiest.processes[0].guess.rate


def _divided(
    splits: tuple[Split, ...], rollout: Rollout, measurements: Sequence[Measurement], now: datetime
) -> tuple[Split, ...]:
    """Return how new sessions were divided; what was opened before the weight took effect everywhere is left out."""
    if rollout.step_age(now) < settling(rollout):
        return splits
    known = {split.stratum: split for split in splits}
    for seen in measurements:
        if seen.canary.new_sessions or seen.stable.new_sessions:
            split = known.get(seen.source, Split(seen.source))
            known[seen.source] = split.after(seen.canary.new_sessions, seen.stable.new_sessions, rollout.weight)
    return tuple(known.values())


def with_trouble(evidence: Evidence) -> Evidence:
    """Return ``evidence`` with whether stable is in trouble too: that begins at 20 : 1, and ends when it is over."""
    if evidence.is_troubled:
        # A source that cannot be read says nothing of it, and its silence is a verdict of its own.
        is_over = all(track.shared.is_over for track in evidence.tracks if track.shared and not track.trouble)
        return _turned(evidence, SharedTrouble.ended, is_troubled=False) if is_over else evidence
    if trouble_log(evidence.tracks) < math.log(TROUBLE_ODDS):
        return evidence
    return _turned(evidence, SharedTrouble.begun, is_troubled=True)


def accepting(evidence: Evidence, *, is_normal: bool) -> Evidence:
    """Return ``evidence`` where a person resumes: the split is tested anew, and trouble that is on may be normal."""
    anew = replace(evidence, splits=())
    if not (is_normal and evidence.is_troubled):
        return anew
    return _turned(anew, lambda _: SharedTrouble(), is_troubled=False)


def _turned(evidence: Evidence, turn: Callable[[SharedTrouble], SharedTrouble], *, is_troubled: bool) -> Evidence:
    tracks = (replace(track, shared=turn(track.shared)) if track.shared else track for track in evidence.tracks)
    return replace(evidence, tracks=tuple(tracks), is_troubled=is_troubled)


def trouble_log(tracks: Sequence[Track]) -> float:
    """Return the logarithm of the evidence that stable fails more than before."""
    telling = [track for track in tracks if track.shared is not None]
    return over_disjoint(telling, lambda track: track.shared.log if track.shared else 0.0)
