"""Turn measurements into a verdict with its sentence.

Harm is judged over all gates together, progress at each gate by itself. The mathematics is in
``capital.py``; here stands what it means for a rollout.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.capital import NEVER, Hypotheses, Tally, calls_needed
from foundry_rollouts.core.judging.constants import BESIDE, CRITICAL, EVEN, FEW, GROSS, PARTS, STALE_AFTER
from foundry_rollouts.core.judging.evidence import Evidence, Track, update
from foundry_rollouts.core.judging.logarithms import log_mean, log_sum
from foundry_rollouts.core.judging.sentences import because_harm, because_proved, because_unproved, because_unseen
from foundry_rollouts.core.judging.value_judge import value_reading
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.policy import Gate, GateKind, Policy
from foundry_rollouts.core.model.rollout import Rollout

#: The worst verdict first; the worst gate speaks for the rollout.
ORDER = (
    Verdict.FAIL,
    Verdict.SOURCE_ERROR,
    Verdict.NO_DATA,
    Verdict.STALE,
    Verdict.INSUFFICIENT,
    Verdict.PASS,
)


def judge(rollout: Rollout, evidence: Evidence, measurements: Sequence[Measurement], now: datetime) -> Analysis:
    """Return the verdict on everything seen so far, ``measurements`` included."""
    policy = rollout.policy
    evidence = update(evidence, policy, measurements)
    failing_gate = _failing_gate(rollout, evidence, [gate for gate in policy.gates if part_of(policy, gate)])
    all_readings = tuple(_read(rollout, gate, evidence, failing_gate, now) for gate in policy.gates)
    readings = [reading for reading in all_readings if not reading.is_dry_run]
    worst = min(readings, key=lambda reading: ORDER.index(reading.verdict))
    unproved = [reading.because for reading in readings if reading.verdict is not Verdict.PASS]
    return Analysis(
        verdict=worst.verdict,
        because=worst.because,
        evidence=replace(evidence, is_proved=evidence.is_proved or worst.verdict is Verdict.PASS),
        gates=all_readings,
        waiting_for="; ".join(unproved) if worst.verdict is not Verdict.FAIL and unproved else None,
        is_not_gross=all(_is_not_gross(reading) for reading in readings),
        on_failure=worst.on_failure if worst.verdict is Verdict.FAIL else None,
    )


def _is_not_gross(reading: GateReading) -> bool:
    return reading.at_most_worse is not None and reading.at_most_worse <= GROSS and reading.harm_log <= EVEN


def part_of(policy: Policy, gate: Gate) -> float:
    """Return the gate's part in the evidence of harm; all parts sum to 1; a dry run and a value have none."""
    if gate.is_dry_run or gate.bounds:
        return 0.0
    return _weight(gate) / sum(_weight(each) for each in policy.gates if not (each.is_dry_run or each.bounds))


def _weight(gate: Gate) -> float:
    return PARTS[gate.kind] * (CRITICAL if gate.is_critical else 1.0)


def _failing_gate(rollout: Rollout, evidence: Evidence, gates: Sequence[Gate]) -> Gate | None:
    """Return the one of ``gates`` that proves harm; None while nothing does.

    The evidence of all gates is averaged with fixed parts, so that several gates together still keep the promise
    of one false rollback in so many; a broken ceiling is weighed in the same average.
    """
    whole = sum(_weight(gate) for gate in gates)
    parts = {gate: math.log(_weight(gate) / whole) for gate in gates}
    enough = -math.log(rollout.policy.judge.false_rollback)
    for measure in (_harm, _breach):
        weighed = {gate: parts[gate] + measure(rollout, evidence, gate) for gate in gates}
        if log_sum(weighed.values()) >= enough:
            return max(weighed, key=lambda gate: weighed[gate])
    return None


def _harm(_: Rollout, evidence: Evidence, gate: Gate) -> float:
    """Return the logarithm of the evidence that the canary is worse than tolerated."""
    return log_sum(
        part + log_mean(process.harm_log for process in track.processes) for track, part in _parts(evidence, gate)
    )


def _parts(evidence: Evidence, gate: Gate) -> list[tuple[Track, float]]:
    """Return the gate's tracks with the logarithms of their parts in the evidence of harm; all parts sum to 1."""
    beside = evidence.client_errors(gate)
    shared = {track.stratum for track in beside}
    rest = math.log(1 - BESIDE)
    errors = [(track, _share(track) + (rest if track.stratum in shared else 0.0)) for track in evidence.of(gate)]
    return errors + [(track, _share(track) + math.log(BESIDE)) for track in beside]


def _breach(rollout: Rollout, evidence: Evidence, gate: Gate) -> float:
    """Return the logarithm of the evidence that the canary is above its ceiling and worse than stable.

    Where stable fails as much, the ceiling is no fault of the canary. Alone the ceiling decides only at weight 100,
    when stable has no calls left to compare with.
    """
    return log_sum(_share(track) + _breach_of(rollout, track) for track in evidence.of(gate))


def _breach_of(rollout: Rollout, track: Track) -> float:
    if track.ceiling is None or track.strict is None:
        return -math.inf
    if stands_alone(rollout, track):
        return track.ceiling.log
    return min(track.ceiling.log, track.strict.harm_log)


def _safe(rollout: Rollout, tracks: Sequence[Track]) -> float:
    """Return the logarithm of the evidence that the canary is better than bad, at this step."""
    return log_sum(_share(track) + _safe_of(rollout, track) for track in tracks)


def _safe_of(rollout: Rollout, track: Track) -> float:
    is_alone = stands_alone(rollout, track)
    return log_mean(process.past_log if is_alone else process.safe_log for process in track.processes)


def stands_alone(rollout: Rollout, track: Track) -> bool:
    """Whether users have left the stratum no stable calls to compare with, or next to none: only stable's past."""
    step = track.at_step
    return rollout.weight == 100 and FEW * step.stable_calls <= step.canary_calls


def _read(rollout: Rollout, gate: Gate, evidence: Evidence, failing_gate: Gate | None, now: datetime) -> GateReading:
    if gate.bounds is None:
        return _reading(rollout, gate, evidence, failing_gate, now)
    values = [track for track in evidence.values if track.gate == gate.name]
    return value_reading(rollout.policy, gate, gate.bounds, values, now)


def _reading(rollout: Rollout, gate: Gate, evidence: Evidence, failing_gate: Gate | None, now: datetime) -> GateReading:
    policy, tracks = rollout.policy, evidence.of(gate)
    # A dry run is judged as if it stood alone.
    accused = _failing_gate(rollout, evidence, (gate,)) if gate.is_dry_run else failing_gate
    harm, safe = _harm(rollout, evidence, gate), _safe(rollout, tracks)
    step = _strongest(rollout, tracks).at_step
    verdict = Verdict.FAIL if gate is accused else _verdict(policy, tracks, harm, safe, now)
    missing = _missing(rollout, tracks) if verdict is Verdict.INSUFFICIENT else None
    shown = (*tracks, *evidence.client_errors(gate)) if verdict is Verdict.FAIL else tracks
    return GateReading(
        gate=gate.name,
        verdict=verdict,
        because=("dry run: " if gate.is_dry_run else "") + _because(verdict, rollout, gate, shown, missing),
        is_dry_run=gate.is_dry_run,
        canary_value=_rate(step.canary_failures, step.canary_calls),
        stable_value=_rate(step.stable_failures, step.stable_calls),
        threshold=_threshold(policy, gate, step),
        harm_log=harm,
        safe_log=safe,
        at_most_worse=_at_most_worse(policy, tracks),
        missing_calls=missing,
        on_failure=gate.on_failure,
    )


def _verdict(policy: Policy, tracks: Sequence[Track], harm: float, safe: float, now: datetime) -> Verdict:
    seen = [track.seen_at for track in tracks if track.seen_at]
    # A source that is late by its nature is given that time.
    fresh_until = [track.seen_at + STALE_AFTER + policy.sources.lag(track.stratum) for track in tracks if track.seen_at]
    if not seen or now > max(fresh_until):
        if any(track.trouble for track in tracks):
            return Verdict.SOURCE_ERROR
        return Verdict.STALE if seen else Verdict.NO_DATA
    is_proved = safe >= -math.log(policy.judge.missed_bad) and harm <= EVEN
    return Verdict.PASS if is_proved else Verdict.INSUFFICIENT


def _because(verdict: Verdict, rollout: Rollout, gate: Gate, tracks: Sequence[Track], missing: int | None) -> str:
    judging, strongest = rollout.policy.judge, _strongest(rollout, tracks)
    is_alone = stands_alone(rollout, strongest)
    match verdict:
        case Verdict.FAIL:
            return because_harm(gate, judging, max(tracks, key=_accusation))
        case Verdict.PASS:
            return because_proved(gate, judging, strongest, is_alone=is_alone)
        case Verdict.INSUFFICIENT:
            return because_unproved(gate, judging, strongest, missing, is_alone=is_alone)
        case _:
            return because_unseen(verdict, gate, tracks)


def _missing(rollout: Rollout, tracks: Sequence[Track]) -> int | None:
    """Return about how many more canary samples the strongest stratum needs; None when that is unknown."""
    track, judging = _strongest(rollout, tracks), rollout.policy.judge
    if gate_is_learning(track):
        return None
    step, process = track.at_step, track.processes[0]
    calls = step.canary_calls + step.stable_calls
    share = step.canary_calls / calls if calls else rollout.weight / 100
    share = 1.0 if stands_alone(rollout, track) else share
    missing = calls_needed(process, Hypotheses(judging.tolerate, judging.bad), judging.missed_bad * track.share, share)
    return missing if missing < NEVER else None


def gate_is_learning(track: Track) -> bool:
    """Whether the stratum still learns what is slow and cannot judge yet."""
    return track.gate == GateKind.LATENCY and not track.edges


def _strongest(rollout: Rollout, tracks: Sequence[Track]) -> Track:
    """Return the stratum that saw the canary and has the best proof at this step."""
    return max(
        tracks,
        key=lambda track: (track.at_step.canary_calls > 0, _share(track) + _safe_of(rollout, track)),
    )


def _accusation(track: Track) -> float:
    strict = track.strict.harm_log if track.strict else -math.inf
    return _share(track) + max(log_mean(p.harm_log for p in track.processes), strict)


def _at_most_worse(policy: Policy, tracks: Sequence[Track]) -> float | None:
    """Return the smallest margin that some stratum excludes, each at its share of the allowed error."""
    bounds = [track.processes[0].at_most_worse(policy.judge.missed_bad * track.share) for track in tracks]
    return min((bound for bound in bounds if bound is not None), default=None)


def _threshold(policy: Policy, gate: Gate, step: Tally) -> float | None:
    stable = _rate(step.stable_failures, step.stable_calls)
    lines = [gate.max] if gate.max is not None else []
    if stable is not None:
        lines.append(policy.judge.tolerate.of(stable))
    return min(lines, default=None)


def _rate(failures: int, calls: int) -> float | None:
    return failures / calls if calls else None


def _share(track: Track) -> float:
    return math.log(track.share)
