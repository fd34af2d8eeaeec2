"""Turn measurements into a verdict with its sentence.

Harm is judged over all gates together, progress at each gate by itself. The mathematics is in
``capital.py``; here stands what it means for a rollout.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.batches import Tally
from foundry_rollouts.core.judging.constants import EVEN, GROSS, GUARD_ODDS, STALE_AFTER
from foundry_rollouts.core.judging.evidence import Evidence, longest_call, trouble_log, update
from foundry_rollouts.core.judging.harm import failing_gate, guard_of, harm_of, part_of, share_log
from foundry_rollouts.core.judging.proof import at_most_worse, missing_calls, safe_of, strongest
from foundry_rollouts.core.judging.sentences import (
    because_baking,
    because_doubted,
    because_guarded,
    because_harm,
    because_proved,
    because_shared,
    because_unproved,
    because_unseen,
)
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.judging.value_judge import value_reading
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.policy import Gate, Judging, Policy
from foundry_rollouts.core.model.rollout import Rollout

#: What a gate may say, the worst first; the worst gate speaks for the rollout.
ORDER = (
    Verdict.FAIL,
    Verdict.SOURCE_ERROR,
    Verdict.NO_DATA,
    Verdict.STALE,
    Verdict.INSUFFICIENT,
    Verdict.PASS,
)


def judge(
    rollout: Rollout,
    evidence: Evidence,
    measurements: Sequence[Measurement],
    now: datetime,
    tick: timedelta = timedelta(0),
) -> Analysis:
    """Return the verdict on everything seen so far, ``measurements`` included.

    ``tick`` is how long a window lasts that no failure ended early; without it each window stands for itself.
    """
    policy = rollout.policy
    evidence = update(evidence, rollout, measurements, now, tick)
    accused = failing_gate(rollout, evidence, [gate for gate in policy.gates if part_of(policy, gate)])
    all_readings = tuple(_read(rollout, gate, evidence, accused, now) for gate in policy.gates)
    readings = [reading for reading in all_readings if not reading.is_dry_run]
    worst = min(readings, key=lambda reading: ORDER.index(reading.verdict))
    guarded = _guarded(rollout, evidence)
    verdict, because = _over_all(rollout, evidence, worst, guarded)
    sight = tuple(dict.fromkeys(seen.sight for seen in measurements if seen.sight))
    unproved = [reading.because for reading in readings if reading.verdict is not Verdict.PASS]
    return Analysis(
        verdict=verdict,
        because="; ".join((because, *sight)),
        evidence=replace(evidence, is_proved=evidence.is_proved or (verdict is Verdict.PASS and rollout.weight < 100)),
        gates=all_readings,
        waiting_for="; ".join((*unproved, *sight)) if worst.verdict is not Verdict.FAIL and unproved else None,
        is_not_gross=guarded is None and all(_is_not_gross(reading) for reading in readings),
        on_failure=worst.on_failure if worst.verdict is Verdict.FAIL else None,
        guarded=guarded,
        split=_split(rollout, evidence),
        suspicion=because_shared(evidence.tracks) if trouble_log(evidence.tracks) > EVEN else None,
        longest_call=longest_call(evidence, rollout),
    )


def _over_all(rollout: Rollout, evidence: Evidence, worst: GateReading, guarded: str | None) -> tuple[Verdict, str]:
    """Return the verdict: harm before all, then what makes every proof worthless, then the worst gate."""
    if worst.verdict is Verdict.FAIL:
        return worst.verdict, worst.because
    if evidence.is_troubled:
        return Verdict.SHARED_TROUBLE, because_shared(evidence.tracks)
    split = _split(rollout, evidence)
    if split is not None and rollout.policy.on_split is not OnSplit.NOTE:
        return Verdict.SPLIT_IGNORED, split
    if guarded is not None:
        return Verdict.INSUFFICIENT, guarded
    return worst.verdict, worst.because


def _split(rollout: Rollout, evidence: Evidence) -> str | None:
    if rollout.policy.observes:
        return None  # Nobody set those weights, so no session follows them.
    return next((each.sentence(rollout.weight) for each in evidence.splits if each.is_ignored), None)


def _guarded(rollout: Rollout, evidence: Evidence) -> str | None:
    """Return why a canary with all traffic goes back to a weight that compares; None while it need not."""
    log, track = guard_of(rollout, evidence)
    if track is None or log < math.log(GUARD_ODDS):
        return None
    gate = next(gate for gate in rollout.policy.gates if gate.name == track.gate)
    return because_guarded(gate, track, log)


def _is_not_gross(reading: GateReading) -> bool:
    return reading.at_most_worse is not None and reading.at_most_worse <= GROSS and reading.harm_log <= EVEN


def _read(rollout: Rollout, gate: Gate, evidence: Evidence, failing: Gate | None, now: datetime) -> GateReading:
    if gate.bounds is None:
        return _reading(rollout, gate, evidence, failing, now)
    values = [track for track in evidence.values if track.gate == gate.name]
    return value_reading(rollout.policy, gate, gate.bounds, values, now)


def _reading(rollout: Rollout, gate: Gate, evidence: Evidence, failing: Gate | None, now: datetime) -> GateReading:
    policy, tracks = rollout.policy, evidence.of(gate)
    # A dry run is judged as if it stood alone.
    accused = failing_gate(rollout, evidence, (gate,)) if gate.is_dry_run else failing
    harm, safe = harm_of(evidence, gate), safe_of(tracks)
    step = strongest(tracks).at_step
    heard = (*tracks, *evidence.client_errors(gate)) if rollout.weight == 100 else tracks
    verdict = Verdict.FAIL if gate is accused else _verdict(rollout, heard, harm, safe, now)
    missing = missing_calls(rollout, tracks) if verdict is Verdict.INSUFFICIENT else None
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
        at_most_worse=at_most_worse(policy, tracks),
        missing_calls=missing,
        on_failure=gate.on_failure,
    )


def _verdict(rollout: Rollout, tracks: Sequence[Track], harm: float, safe: float, now: datetime) -> Verdict:
    policy = rollout.policy
    seen = [track.seen_at for track in tracks if track.seen_at]
    # A source that is late by its nature is given that time.
    fresh_until = [track.seen_at + STALE_AFTER + policy.sources.lag(track.stratum) for track in tracks if track.seen_at]
    if not seen or now > max(fresh_until):
        if any(track.trouble for track in tracks):
            return Verdict.SOURCE_ERROR
        return Verdict.STALE if seen else Verdict.NO_DATA
    is_safe = is_proved(policy.judge, safe)
    if rollout.weight < 100:
        return Verdict.PASS if is_safe and harm <= EVEN else Verdict.INSUFFICIENT
    # A plan without a weight below 100 has proved nothing before, so that it has to be proved here.
    was_compared = rollout.step_below_all is not None or rollout.is_revert or is_safe
    return Verdict.PASS if was_compared and _is_calm(tracks) else Verdict.INSUFFICIENT


def is_proved(judging: Judging, safe: float) -> bool:
    """Whether so much evidence of safety is a proof."""
    return safe >= -math.log(judging.missed_bad)


def _is_calm(tracks: Sequence[Track]) -> bool:
    """Whether nothing speaks against a canary with all traffic, which bakes and proves nothing.

    Where stable is still called both are compared; elsewhere the guard speaks, for what was said there at a lower
    weight cannot be answered any more.
    """
    return all(
        track.stakes.harm_log <= EVEN if track.at_step.stable_calls else track.guard is None or track.guard.log <= EVEN
        for track in tracks
    )


def _because(verdict: Verdict, rollout: Rollout, gate: Gate, tracks: Sequence[Track], missing: int | None) -> str:
    """Give the reason in one sentence, from the stratum that the verdict is owed to."""
    judging = rollout.policy.judge
    match verdict:
        case Verdict.FAIL:
            return because_harm(gate, judging, max(tracks, key=accusation))
        case Verdict.PASS | Verdict.INSUFFICIENT if rollout.weight == 100:
            return because_baking(gate, max(tracks, key=lambda track: track.at_step.canary_calls))
        case Verdict.PASS:
            return because_proved(gate, judging, strongest(tracks), safe_of(tracks))
        case Verdict.INSUFFICIENT if is_proved(judging, safe_of(tracks)):
            return because_doubted(gate, judging, strongest(tracks))
        case Verdict.INSUFFICIENT:
            return because_unproved(gate, judging, strongest(tracks), missing)
        case _:
            return because_unseen(verdict, gate, tracks)


def accusation(track: Track) -> float:
    strict = track.strict.harm_log if track.strict else -math.inf
    return share_log(track) + max(track.stakes.harm_log, strict)


def _threshold(policy: Policy, gate: Gate, step: Tally) -> float | None:
    stable = _rate(step.stable_failures, step.stable_calls)
    lines = [gate.max] if gate.max is not None else []
    if stable is not None:
        lines.append(policy.judge.tolerate.of(stable))
    return min(lines, default=None)


def _rate(failures: int, calls: int) -> float | None:
    return failures / calls if calls else None
