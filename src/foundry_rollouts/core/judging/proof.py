"""Safety, gate by gate: is the canary better than bad, by how much is it worse at most, and what is missing."""

import math
from collections.abc import Sequence

from foundry_rollouts.core.judging.capital import NEVER, Hypotheses, calls_needed
from foundry_rollouts.core.judging.harm import share_log
from foundry_rollouts.core.judging.logarithms import log_mean
from foundry_rollouts.core.judging.strata import over_disjoint
from foundry_rollouts.core.judging.track import Track, cluster_of
from foundry_rollouts.core.model.policy import GateKind, Policy
from foundry_rollouts.core.model.rollout import Rollout


def safe_of(tracks: Sequence[Track]) -> float:
    """Return the logarithm of the evidence that the canary is better than bad, at this step."""
    return over_disjoint(tracks, safe_log)


def safe_log(track: Track) -> float:
    """Return what one stratum has proved: its closed intervals only."""
    return log_mean(process.proof_log for process in track.proven.processes)


def at_most_worse(policy: Policy, tracks: Sequence[Track]) -> float | None:
    """Return the smallest margin that some stratum excludes, each at its share of the allowed error."""
    bounds = [track.proven.processes[0].at_most_worse(policy.judge.missed_bad * track.share) for track in tracks]
    return min((bound for bound in bounds if bound is not None), default=None)


def missing_calls(rollout: Rollout, tracks: Sequence[Track]) -> int | None:
    """Return about how many more canary calls the strongest stratum needs; None when that is unknown."""
    track, judging = strongest(tracks), rollout.policy.judge
    if is_learning(track) or rollout.weight == 100:
        return None
    step, process = track.at_step, track.proven.processes[0]
    share = step.canary_calls / step.calls if step.calls else rollout.weight / 100
    bets = Hypotheses(judging.tolerate, judging.bad, cluster_of(track, rollout.policy))
    goal = -math.log(judging.missed_bad) - safe_of(tracks) + process.proof_log
    missing = calls_needed(process, bets, goal, share)
    return missing if missing < NEVER else None


def is_learning(track: Track) -> bool:
    """Whether the stratum still learns what is slow and cannot judge yet."""
    return track.gate == GateKind.LATENCY and not track.edges


def strongest(tracks: Sequence[Track]) -> Track:
    """Return the stratum that saw the canary and has the best proof at this step."""
    return max(tracks, key=lambda track: (track.at_step.canary_calls > 0, share_log(track) + safe_log(track)))
