"""How far a rollout is at this instant: what it waits for, what its gates say, what harm was done."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.evidence import Evidence, measured_traffic
from foundry_rollouts.core.judging.harm import part_of
from foundry_rollouts.core.judging.judge import judge
from foundry_rollouts.core.judging.logarithms import as_log10, log_sum
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.measurement import seconds_of
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.operations.waiting import Otherwise, Wait, otherwise_of, waits_of

#: The least and the greatest power of ten that is shown: JSON has no infinity.
LEAST, MOST = -300.0, 300.0


@dataclass(frozen=True, slots=True)
class HarmView:
    """How many calls of the canary failed in the whole trial, and how many stable would have failed in its place."""

    calls: int
    failed: int
    expected: float
    excess: int  #: About so many failed because of the canary; 0: none is seen.
    stratum: str | None  #: The source that saw most of the users' calls.


@dataclass(frozen=True, slots=True)
class GateStanding:
    """What one gate says now, at the present step; rates are fractions, evidence is a power of ten."""

    gate: str
    verdict: Verdict
    because: str
    is_dry_run: bool
    sources: tuple[str, ...]
    canary_value: float | None
    stable_value: float | None
    threshold: float | None
    canary_calls: int  #: Of the stratum that saw most, and so are the next three.
    canary_failures: int
    stable_calls: int
    stable_failures: int
    harm_log10: float
    safe_log10: float
    at_most_worse: float | None
    missing_calls: int | None
    slower_than_seconds: float | None  #: Of a latency gate: what counts as slow.


@dataclass(frozen=True, slots=True)
class SplitStanding:
    """New sessions at the present step by the version that answered."""

    stratum: str
    canary: int
    stable: int
    is_ignored: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """What the page of a rollout shows at a glance."""

    waits_for: tuple[Wait, ...]
    otherwise: Otherwise | None
    harm_log10: float | None  #: Against the canary, over all gates; None before the first measurement.
    harm_enough_log10: float  #: It rolls back there.
    safe_log10: float | None  #: For the canary: of the gate that is furthest from its proof.
    safe_enough_log10: float  #: It is proved there.
    at_most_worse: float | None  #: The ladder's bound, of the error rate.
    harm: HarmView | None
    gates: tuple[GateStanding, ...]
    splits: tuple[SplitStanding, ...]
    calls_per_second: float | None  #: Users' calls on both versions; None while that is not known.


def progress_of(rollout: Rollout, evidence: Evidence | None, now: datetime) -> Progress:
    """Return how far ``rollout`` is, or was when it ended; ``evidence`` is None before its first step."""
    now = rollout.ended_at or now
    analysis = judge(rollout, evidence, (), now) if evidence and rollout.step else None
    policy = rollout.policy
    readings = analysis.gates if analysis else ()
    traffic = measured_traffic(evidence) if evidence else None
    return Progress(
        waits_for=waits_of(rollout, evidence, analysis, now),
        otherwise=otherwise_of(rollout, now),
        harm_log10=against(policy, readings),
        harm_enough_log10=-math.log10(policy.judge.false_rollback),
        safe_log10=in_favour(policy, readings),
        safe_enough_log10=-math.log10(policy.judge.missed_bad),
        at_most_worse=next((each.at_most_worse for each in readings if each.gate == GateKind.ERROR_RATE), None),
        harm=harm_of(evidence) if evidence and rollout.step else None,
        gates=_standings(policy, evidence, analysis),
        splits=tuple(SplitStanding(each.stratum, each.canary, each.stable, each.is_ignored) for each in evidence.splits)
        if evidence
        else (),
        calls_per_second=round(traffic[0], 3) if traffic else None,
    )


def against(policy: Policy, readings: Sequence[GateReading]) -> float | None:
    """Return the evidence of harm over all gates that decide, as a power of ten."""
    parts = {gate.name: part_of(policy, gate) for gate in policy.gates}
    weighed = [math.log(parts[each.gate]) + each.harm_log for each in readings if parts[each.gate]]
    return shown(as_log10(log_sum(weighed))) if weighed else None


def in_favour(policy: Policy, readings: Sequence[GateReading]) -> float | None:
    """Return the evidence of safety of the gate that is furthest from its proof, as a power of ten."""
    proving = {gate.name for gate in policy.gates if part_of(policy, gate)}
    return min((shown(as_log10(each.safe_log)) for each in readings if each.gate in proving), default=None)


def shown(power: float) -> float:
    """Return a power of ten as JSON can hold it."""
    return round(min(max(power, LEAST), MOST), 4)


def harm_of(evidence: Evidence) -> HarmView | None:
    """Return what the canary did to users, by the source that saw most of them; None where nobody counts failures."""
    tracks = [track for track in evidence.tracks if track.gate == GateKind.ERROR_RATE]
    track = busiest(tracks)
    if track is None:
        return None
    total = track.total
    rate = total.stable_failures / total.stable_calls if total.stable_calls else track.processes[0].guess.rate
    expected = total.canary_calls * rate
    excess = max(round(total.canary_failures - expected), 0)
    return HarmView(total.canary_calls, total.canary_failures, round(expected, 1), excess, track.stratum)


def busiest(tracks: Sequence[Track]) -> Track | None:
    """Return the track that saw most of the users' calls, or else most of the probe's; None: there is none."""
    users = [track for track in tracks if not track.is_probe and track.total.calls]
    return max(users or tracks, key=lambda track: track.total.calls, default=None)


def _standings(policy: Policy, evidence: Evidence | None, analysis: Analysis | None) -> tuple[GateStanding, ...]:
    if evidence is None or analysis is None:
        return ()
    return tuple(
        _standing(gate, reading, busiest(evidence.of(gate)))
        for gate, reading in zip(policy.gates, analysis.gates, strict=True)
    )


def _standing(gate: Gate, reading: GateReading, track: Track | None) -> GateStanding:
    step = track.at_step if track else Tally()
    edge = track.edges[0] if track and track.edges else None
    return GateStanding(
        gate=reading.gate,
        verdict=reading.verdict,
        because=reading.because,
        is_dry_run=reading.is_dry_run,
        sources=gate.sources,
        canary_value=reading.canary_value,
        stable_value=reading.stable_value,
        threshold=reading.threshold,
        canary_calls=step.canary_calls,
        canary_failures=step.canary_failures,
        stable_calls=step.stable_calls,
        stable_failures=step.stable_failures,
        harm_log10=shown(as_log10(reading.harm_log)),
        safe_log10=shown(as_log10(reading.safe_log)),
        at_most_worse=reading.at_most_worse,
        missing_calls=reading.missing_calls,
        slower_than_seconds=None if edge is None else round(seconds_of(edge), 3),
    )
