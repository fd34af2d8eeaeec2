"""Weights that rise as the evidence grows: never so high that one tick could miss more failures than the blast radius.

Between two ticks at most ``calls a second x interval x weight x worse`` failures slip through, where ``worse`` is how
much worse than stable the canary may still be: all of its calls may fail before anything is proved. The weight is the
highest at which that stays within the blast radius. Proof at any weight leads to 50, where the canary soaks.

The first weight needs no calls of the canary, for it allows for a dead one; it needs calls of users, to know how many
there are. Each higher one needs the canary to have been seen at the weight before.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.constants import EVEN, TELLING_CALLS
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.judging.track import at_most
from foundry_rollouts.core.model.policy import CALL_LIMIT, CLIMB, SOAK, GateKind, Policy
from foundry_rollouts.core.model.rollout import Rollout

#: Before anything is proved of the canary, no weight is higher.
FIRST_AT_MOST = 20
#: Gates that count failures; what the others see is not what a blast radius means.
COUNTING = {GateKind.ERROR_RATE, GateKind.LOG_ERRORS}


@dataclass(frozen=True, slots=True)
class WeightIncrease:
    """The number of a higher step, and why the evidence allows it."""

    step: int
    because: str


def next_weight(rollout: Rollout, analysis: Analysis, interval: timedelta) -> WeightIncrease | None:
    """Return the higher step that the evidence allows now; None when there is none, or the steps are a list.

    ``interval`` is the time until the next tick, at most.
    """
    automatic = rollout.policy.automatic
    if automatic is None or rollout.weight >= SOAK or not is_quiet(analysis):
        return None
    if analysis.verdict is Verdict.PASS:
        return WeightIncrease(_step_of(SOAK), analysis.because)
    worse = _at_most_worse(analysis)
    may_be_unseen = rollout.step == 1 and worse is None
    traffic = _traffic(rollout.policy, analysis.evidence, interval)
    if traffic is None or not _is_watched(rollout.policy, analysis, may_be_unseen=may_be_unseen):
        return None
    weight = level(automatic.blast_radius, traffic, worse)
    if weight <= rollout.weight:
        return None
    known = "nothing proved yet" if worse is None else f"less than {100 * worse:g} points worse is proved"
    missed = math.ceil(traffic * (worse or 1.0) * weight / 100)
    return WeightIncrease(_step_of(weight), f"{known}: at {weight}% one tick misses at most about {missed} failures")


def step_proof(rollout: Rollout, analysis: Analysis) -> str | None:
    """Return what proves the step, as a sentence: its own evidence or, at the soak, that of a lower weight.

    A soak that rests on an earlier proof has to be watched as long as it lasts, at every gate.
    """
    if analysis.verdict is Verdict.PASS:
        return analysis.because
    policy, automatic = rollout.policy, rollout.policy.automatic
    if automatic is None or rollout.weight != SOAK or not analysis.evidence.is_proved:
        return None
    if not (is_quiet(analysis) and _is_watched(policy, analysis) and _has_soaked(policy, analysis.evidence)):
        return None
    return f"proved at a lower weight, and nothing speaks against it at {SOAK}%: {analysis.because}"


def _is_watched(policy: Policy, analysis: Analysis, *, may_be_unseen: bool = False) -> bool:
    """Whether every gate that decides saw the canary of late; one on a value has to find it within its bounds."""
    fine = {Verdict.PASS, Verdict.INSUFFICIENT, *([Verdict.NO_DATA] if may_be_unseen else [])}
    values = {gate.name for gate in policy.gates if gate.bounds}
    return all(
        reading.verdict is Verdict.PASS if reading.gate in values else reading.verdict in fine
        for reading in _deciding(analysis)
    )


def _has_soaked(policy: Policy, evidence: Evidence) -> bool:
    """Whether each gate has watched both versions for the time of the soak, in one of its strata at least."""
    soak = policy.automatic.soak.total_seconds() if policy.automatic else math.inf
    return all(
        any(
            track.watched >= soak and track.at_step.canary_calls >= TELLING_CALLS and track.at_step.stable_calls
            for track in evidence.of(gate)
        )
        for gate in policy.gates
        if not (gate.is_dry_run or gate.bounds)
    )


def level(blast_radius: float, calls_a_look: float, worse: float | None) -> int:
    """Return the highest weight at which one tick misses no more failures than the blast radius."""
    most = 100 * blast_radius / (calls_a_look * (worse or 1.0))
    highest = FIRST_AT_MOST if worse is None else SOAK
    return max((weight for weight in (*CLIMB, SOAK) if weight <= min(most, highest)), default=CLIMB[0])


def is_quiet(analysis: Analysis) -> bool:
    """Whether nothing speaks against the canary, on any gate that decides."""
    return analysis.verdict is not Verdict.FAIL and all(reading.harm_log <= EVEN for reading in _deciding(analysis))


def _deciding(analysis: Analysis) -> list[GateReading]:
    return [reading for reading in analysis.gates if not reading.is_dry_run]


def _at_most_worse(analysis: Analysis) -> float | None:
    """Return how much worse the canary is at most, by the gate that knows least; None before any knows."""
    bounds = [reading.at_most_worse for reading in _deciding(analysis) if reading.gate in COUNTING]
    known = [bound for bound in bounds if bound is not None]
    return max(known) if known and len(known) == len(bounds) else None


def _traffic(policy: Policy, evidence: Evidence, interval: timedelta) -> float | None:
    """Return how many calls of users there are in one tick, rather too many; None while no source counts them.

    A tick lasts until its counts arrive, and longer where calls do that take more than a minute. Several sources see
    the same users: the one that sees most speaks for all.
    """
    slow = max((policy.call_limit or CALL_LIMIT) - CALL_LIMIT, timedelta(0))
    counted = [
        (track, track.at_step.canary_calls + track.at_step.stable_calls, policy.sources.lag(track.stratum))
        for track in evidence.tracks
        if track.stratum.rpartition("/")[2] != "probe" and track.trouble is None
    ]
    in_a_tick = [
        max(at_most(calls) / track.watched, track.busiest) * (interval + lag + slow).total_seconds()
        for track, calls, lag in counted
        if calls >= TELLING_CALLS and track.watched > 0
    ]
    return max(in_a_tick, default=None)


def _step_of(weight: int) -> int:
    return (*CLIMB, SOAK).index(weight) + 1
