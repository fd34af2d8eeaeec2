"""Go forward on proof only; say what is missing otherwise."""

from datetime import datetime, timedelta
from typing import assert_never

from foundry_rollouts.core.deciding.approving import awaited, unanswered
from foundry_rollouts.core.deciding.automatic import next_weight, step_proof
from foundry_rollouts.core.deciding.obey import advance_or_promote, retreat
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.policy import SOAK, OnNoEvidence
from foundry_rollouts.core.model.rollout import Rollout

APPROVAL = "a person: approve or abort"  #: What a rollout waits for on a step that is an approval.


def progress(rollout: Rollout, analysis: Analysis, now: datetime, tick_interval: timedelta) -> Decision:
    """Choose how a rollout under way goes on, where nothing but the evidence and the time decide."""
    if wait := _wait(rollout, analysis, now):
        return wait
    move = _next(rollout, analysis, now, tick_interval)
    if move.move in {Move.ADVANCE, Move.PROMOTE} and analysis.suspicion:
        return Decision(Move.HOLD, f"maybe {analysis.suspicion}", "stable's next calls")
    return move


def _next(rollout: Rollout, analysis: Analysis, now: datetime, tick_interval: timedelta) -> Decision:
    if higher := next_weight(rollout, analysis, tick_interval):
        return Decision(Move.ADVANCE, higher.because, step=higher.step)
    because = step_proof(rollout, analysis)
    if because is None:
        if rollout.is_step_overdue(now):
            return on_no_evidence(rollout, analysis)
        return Decision(Move.HOLD, analysis.because, analysis.waiting_for)
    if not rollout.has_baked(now):
        return Decision(Move.HOLD, f"well so far; the step is still baking. {because}", "the bake time of the step")
    return advance_or_promote(rollout, because)


def _wait(rollout: Rollout, analysis: Analysis, now: datetime) -> Decision | None:
    """Return what keeps a rollout where it is, whatever the evidence of safety; None where nothing does."""
    if late := unanswered(rollout, now):
        return late
    if analysis.verdict is Verdict.SHARED_TROUBLE:
        if has_trouble_lasted(rollout, now):
            ask = "who resumes takes it for normal"
            return Decision(Move.PAUSE, f"{analysis.because}; that is so for {rollout.policy.deadline}, and {ask}")
        return Decision(Move.HOLD, analysis.because, "both versions to recover")
    if rollout.age(now) >= rollout.policy.deadline:
        return Decision(Move.PAUSE, f"the deadline of {rollout.policy.deadline} is over: {analysis.because}")
    if analysis.verdict is Verdict.FAIL:
        return Decision(Move.HOLD, analysis.because, "the harm to end, or a person")
    if analysis.verdict is Verdict.SPLIT_IGNORED:
        if rollout.policy.on_split is OnSplit.PAUSE:
            return Decision(Move.PAUSE, analysis.because)
        return Decision(Move.HOLD, analysis.because, "new sessions to follow the weight")
    if rollout.waits_for_approval:
        because = f"waiting for approval at {rollout.weight}%; {analysis.because}"
        return Decision(Move.HOLD, because, awaited(rollout, now))
    if rollout.step_age(now) < analysis.longest_call:
        because = f"calls of this step are still under way. {analysis.because}"
        return Decision(Move.HOLD, because, analysis.waiting_for or "the calls under way")
    return None


def has_trouble_lasted(rollout: Rollout, now: datetime) -> bool:
    """Whether both versions have been in trouble for so long that a person is asked."""
    since = rollout.trouble_since
    return since is not None and now - since >= rollout.policy.deadline


def on_silence(rollout: Rollout) -> OnNoEvidence:
    """Return what a step without proof leads to: as the policy says; on the way to the soak automatic steps rise.

    A canary that failed with all traffic and stepped back goes up again by a proof only.
    """
    is_climbing = rollout.policy.automatic is not None and rollout.weight < SOAK
    wanted = OnNoEvidence.ADVANCE_IF_NOT_GROSS if is_climbing else rollout.policy.on_no_evidence
    is_lenient = wanted is OnNoEvidence.ADVANCE_IF_NOT_GROSS
    return OnNoEvidence.HOLD if is_lenient and rollout.step_backs else wanted


def on_no_evidence(rollout: Rollout, analysis: Analysis) -> Decision:
    """Do what the policy says about a step whose time is over without proof; never go on blindly."""
    overdue = f"no proof within the step's time: {analysis.because}"
    match on_silence(rollout):
        case OnNoEvidence.HOLD:
            return Decision(Move.HOLD, overdue, analysis.waiting_for)
        case OnNoEvidence.PAUSE:
            return Decision(Move.PAUSE, overdue)
        case OnNoEvidence.ROLLBACK:
            return retreat(rollout, overdue)
        case OnNoEvidence.ADVANCE_IF_NOT_GROSS:
            if analysis.verdict is Verdict.INSUFFICIENT and analysis.is_not_gross:
                return advance_or_promote(
                    rollout, f"time is over and less than 16 points worse is proved: {analysis.because}"
                )
            return Decision(Move.HOLD, overdue, analysis.waiting_for)
        case other:
            assert_never(other)
