"""What a rollout waits for, one thing after the other: how much there is, how much it takes, and until when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from foundry_rollouts.core.deciding.progress import on_silence
from foundry_rollouts.core.deciding.queue import QUEUED
from foundry_rollouts.core.judging.analysis import Analysis, GateReading, Verdict
from foundry_rollouts.core.judging.evidence import Evidence, measured_traffic
from foundry_rollouts.core.judging.logarithms import as_log10
from foundry_rollouts.core.model.policy import OnNoEvidence, WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout

MOST = 9.0  #: Beyond 10 to that power, more says nothing more.

#: What a step that is not proved by its ``max`` leads to.
SILENCE = {
    OnNoEvidence.HOLD: "it holds",
    OnNoEvidence.PAUSE: "it pauses",
    OnNoEvidence.ROLLBACK: "it rolls back",
    OnNoEvidence.ADVANCE_IF_NOT_GROSS: "it goes on only if less than 16 points worse is proved",
}


class WaitKind(StrEnum):
    """What is waited for."""

    START = "start"  #: The controller, the version or its sandboxes to be ready.
    QUEUE = "queue"  #: An earlier rollout of the agent to end.
    PERSON = "person"  #: A person to resume or abort.
    RECOVERY = "recovery"  #: Stable's own trouble to end, or sessions to follow the weight.
    EVIDENCE = "evidence"  #: A gate to be proved.
    BAKE = "bake"  #: The least time of a step.
    APPROVAL = "approval"  #: A person to approve.
    WEIGHT = "weight"  #: The next weight.
    PROMOTION = "promotion"  #: The end.


class WaitState(StrEnum):
    """Whether its turn has come."""

    DONE = "done"
    NOW = "now"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing: ``have`` of ``need``, as odds (``20`` is 20 : 1) of evidence, or as seconds of a bake."""

    kind: WaitKind
    state: WaitState
    because: str
    gate: str | None = None
    have: float | None = None
    need: float | None = None
    missing_calls: int | None = None  #: About how many canary calls are still needed.
    seconds: float | None = None  #: About how long still.
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What happens when it never comes."""

    at: datetime
    because: str


def waits_of(rollout: Rollout, evidence: Evidence | None, analysis: Analysis | None, now: datetime) -> tuple[Wait, ...]:
    """Return what ``rollout`` waits for, in order; nothing once it has ended."""
    if rollout.phase.is_final:
        return ()
    said = rollout.waiting_for or rollout.because
    if rollout.phase is Phase.PAUSED:
        return (Wait(WaitKind.PERSON, WaitState.NOW, said),)
    if rollout.phase is Phase.PENDING or analysis is None or evidence is None:
        kind = WaitKind.QUEUE if rollout.waiting_for == QUEUED else WaitKind.START
        return (Wait(kind, WaitState.NOW, said),)
    if rollout.waits_for_approval:
        return (Wait(WaitKind.APPROVAL, WaitState.NOW, said), *_after(rollout))
    if analysis.verdict in {Verdict.SHARED_TROUBLE, Verdict.SPLIT_IGNORED, Verdict.FAIL}:
        return (Wait(WaitKind.RECOVERY, WaitState.NOW, analysis.because), *_after(rollout))
    return (*_proofs(rollout, evidence, analysis), *_bake(rollout, now), *_after(rollout))


def otherwise_of(rollout: Rollout, now: datetime) -> Otherwise | None:
    """Return what comes when what is waited for does not; None where nothing ends the wait."""
    if rollout.phase is not Phase.PROGRESSING or not rollout.step:
        return None
    step, deadline = rollout.present_step, now + (rollout.policy.deadline - rollout.age(now))
    pauses = Otherwise(deadline, f"not done by then: it pauses at weight {rollout.weight} and waits for a person")
    if not isinstance(step, WeightStep) or step.max is None or rollout.weight == 100:
        return pauses
    limit = now + (step.max - rollout.step_age(now))
    what = SILENCE[on_silence(rollout)]
    return min(
        Otherwise(limit, f"not proved by then: {what}; it never goes on without proof"),
        pauses,
        key=lambda each: each.at,
    )


def _proofs(rollout: Rollout, evidence: Evidence, analysis: Analysis) -> list[Wait]:
    """Return a wait for each gate that decides; at 100 the canary bakes and nothing is compared."""
    if rollout.weight == 100:
        doubtful = [each for each in analysis.gates if each.verdict is not Verdict.PASS and not each.is_dry_run]
        return [Wait(WaitKind.EVIDENCE, WaitState.NOW, each.because, each.gate) for each in doubtful]
    rate = _canary_rate(rollout, evidence)
    return [_proof(rollout, reading, rate) for reading in analysis.gates if not reading.is_dry_run]


def _proof(rollout: Rollout, reading: GateReading, rate: float) -> Wait:
    is_done = reading.verdict is Verdict.PASS
    missing = None if is_done else reading.missing_calls
    is_value = reading.gate.startswith("value:")
    return Wait(
        kind=WaitKind.EVIDENCE,
        state=WaitState.DONE if is_done else WaitState.NOW,
        because=reading.because,
        gate=reading.gate,
        have=None if is_value else odds(as_log10(reading.safe_log)),
        need=None if is_value else odds(-math.log10(rollout.policy.judge.missed_bad)),
        missing_calls=missing,
        seconds=round(missing / rate, 1) if missing and rate else None,
    )


def _canary_rate(rollout: Rollout, evidence: Evidence) -> float:
    """Return users' calls a second on the canary; 0 while that is not known."""
    traffic = measured_traffic(evidence)
    return traffic[0] * rollout.weight / 100 if traffic else 0.0


def _bake(rollout: Rollout, now: datetime) -> Sequence[Wait]:
    step = rollout.present_step
    if not isinstance(step, WeightStep) or not step.min:
        return ()
    age, least = rollout.step_age(now), step.min
    left = max(least - age, timedelta(0))
    state = WaitState.NOW if left else WaitState.DONE
    return (
        Wait(
            kind=WaitKind.BAKE,
            state=state,
            because=f"weight {step.weight} lasts at least {least}",
            have=round(min(age, least).total_seconds(), 1),
            need=least.total_seconds(),
            seconds=round(left.total_seconds(), 1),
            until=now + left if left else None,
        ),
    )


def _after(rollout: Rollout) -> Sequence[Wait]:
    """Return the next thing on the plan."""
    if rollout.is_on_last_step:
        return (Wait(WaitKind.PROMOTION, WaitState.LATER, f"version {rollout.canary} becomes the stable version"),)
    following = rollout.policy.steps[rollout.step]
    if isinstance(following, WeightStep):
        return (Wait(WaitKind.WEIGHT, WaitState.LATER, f"then weight {following.weight}"),)
    return (Wait(WaitKind.APPROVAL, WaitState.LATER, "then a person approves"),)


def odds(log10: float) -> float:
    """Return evidence as people say it: 20 for 20 : 1, and no number that JSON cannot hold."""
    return round(math.pow(10, min(log10, MOST)), 3)
