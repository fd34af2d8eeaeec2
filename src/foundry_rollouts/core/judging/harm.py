"""Harm, over all gates together: is the canary worse than tolerated, above its ceiling, or worse than stable was."""

import math
from collections.abc import Sequence

from foundry_rollouts.core.judging.constants import BESIDE, CRITICAL, PARTS
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.judging.logarithms import log_mean, log_sum
from foundry_rollouts.core.judging.track import Track
from foundry_rollouts.core.model.policy import Gate, Policy
from foundry_rollouts.core.model.rollout import Rollout


def part_of(policy: Policy, gate: Gate) -> float:
    """Return the gate's part in the evidence of harm; all parts sum to 1; a dry run and a value have none."""
    if gate.is_dry_run or gate.bounds:
        return 0.0
    return _weight(gate) / sum(_weight(each) for each in policy.gates if not (each.is_dry_run or each.bounds))


def _weight(gate: Gate) -> float:
    return PARTS[gate.kind] * (CRITICAL if gate.is_critical else 1.0)


def failing_gate(rollout: Rollout, evidence: Evidence, gates: Sequence[Gate]) -> Gate | None:
    """Return the one of ``gates`` that proves harm; None while nothing does.

    The evidence of all gates is averaged with fixed parts, so that several gates together still keep the promise
    of one false rollback in so many; a broken ceiling is weighed in the same average.
    """
    whole = sum(_weight(gate) for gate in gates)
    parts = {gate: math.log(_weight(gate) / whole) for gate in gates}
    enough = -math.log(rollout.policy.judge.false_rollback)
    for measure in (harm_of, breach_of):
        weighed = {gate: parts[gate] + measure(evidence, gate) for gate in gates}
        if log_sum(weighed.values()) >= enough:
            return max(weighed, key=lambda gate: weighed[gate])
    return None


def harm_of(evidence: Evidence, gate: Gate) -> float:
    """Return the logarithm of the evidence that the canary is worse than tolerated."""
    return log_sum(part + track.stakes.harm_log for track, part in _parts(evidence, gate))


def _parts(evidence: Evidence, gate: Gate) -> list[tuple[Track, float]]:
    """Return the gate's tracks with the logarithms of their parts in the evidence of harm; all parts sum to 1."""
    beside = evidence.client_errors(gate)
    shared = {track.stratum for track in beside}
    rest = math.log(1 - BESIDE)
    errors = [(track, share_log(track) + (rest if track.stratum in shared else 0.0)) for track in evidence.of(gate)]
    return errors + [(track, share_log(track) + math.log(BESIDE)) for track in beside]


def breach_of(evidence: Evidence, gate: Gate) -> float:
    """Return the logarithm of the evidence that the canary is above its ceiling and worse than stable.

    Where stable fails as much, the ceiling is no fault of the canary. A stratum that has no calls on stable left, as
    at 100, borrows the comparison of those that have; where none has, a broken ceiling is a reason to step back
    (``guard_of``).
    """
    return log_sum(share_log(track) + _breach(track, evidence.of(gate)) for track in evidence.of(gate))


def _breach(track: Track, of_gate: Sequence[Track]) -> float:
    comparing = [each.strict.harm_log for each in _comparing(of_gate) if each.strict]
    if track.ceiling is None or track.strict is None or not comparing:
        return -math.inf
    is_alone = not track.at_step.stable_calls
    return min(track.ceiling.log, log_mean(comparing) if is_alone else track.strict.harm_log)


def _comparing(tracks: Sequence[Track]) -> list[Track]:
    return [track for track in tracks if track.at_step.stable_calls]


def guard_of(rollout: Rollout, evidence: Evidence) -> tuple[float, Track | None]:
    """Return the logarithm of the evidence that a canary with all traffic fails more than stable ever did.

    With it comes the stratum that says so most clearly. It counts where there is nothing to compare with; a ceiling
    that was broken at 100, and that no stratum can compare, counts as well.
    """
    if rollout.weight < 100:
        return -math.inf, None
    said = [
        (math.log(part_of(rollout.policy, gate)) + part + _alone(track, evidence.of(gate)), track)
        for gate in rollout.policy.gates
        if part_of(rollout.policy, gate)
        for track, part in _parts(evidence, gate)
    ]
    loudest = max(said, key=lambda pair: pair[0], default=(-math.inf, None))
    return log_sum(log for log, _ in said), loudest[1]


def _alone(track: Track, of_gate: Sequence[Track]) -> float:
    guard = track.guard.log if track.guard else -math.inf
    ceiling = track.ceiling.log if track.ceiling and not _comparing(of_gate) else -math.inf
    return max(guard, ceiling)


def share_log(track: Track) -> float:
    return math.log(track.share)
