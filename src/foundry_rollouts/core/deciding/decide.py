"""Choose a rollout's next move, and say how the rollout stands after it.

The functions here are the heart of the controller. They are pure: no clock, no network, no database, no log.
Everything they may know arrives as an argument.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from foundry_rollouts.core.deciding.automatic import next_weight, step_proof
from foundry_rollouts.core.deciding.loss import lose_canary, lose_stable, wait_for_stable
from foundry_rollouts.core.deciding.obey import (
    abort,
    advance_or_promote,
    apply_command,
    obey_before_start,
    retreat,
)
from foundry_rollouts.core.deciding.readiness import Readiness, before_users, unseen
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.contest import because_restored, restored, still
from foundry_rollouts.core.model.decision import (
    Abort,
    Advance,
    Decision,
    Decline,
    Disable,
    Fail,
    Hold,
    Pause,
    Promote,
    Restore,
    Resume,
    RollBack,
    Start,
    Supersede,
)
from foundry_rollouts.core.model.policy import OnDrift, OnFailure, OnNoEvidence, SessionsOnRollback
from foundry_rollouts.core.model.rollout import Phase, Rollout, Stops

ENDS = {
    Promote: Phase.PROMOTED,
    RollBack: Phase.ROLLED_BACK,
    Disable: Phase.DISABLED,
    Supersede: Phase.SUPERSEDED,
    Fail: Phase.FAILED,
    Abort: Phase.ABORTED,
}
#: Decisions that may move traffic, beside giving way to a newer version; the others leave the cloud as it is.
MOVES = (Start, Advance, Promote, RollBack, Disable, Restore, Resume, Fail)
PERSON = "a person: resume, promote or abort"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision may rest on, as of one instant."""

    now: datetime
    analysis: Analysis | None = None  #: None while the rollout is pending.
    command: Command | None = None  #: The most urgent one that nobody obeyed yet.
    waits_for: str | None = None  #: Why a pending rollout cannot start yet.
    failure: str | None = None  #: Why the version can never become active.
    earlier: str | None = None  #: Which trial the version had before, where no person asked for another one.
    is_gone: bool = False  #: The cloud shows the agent no more.
    is_canary_gone: bool = False  #: The canary was deleted during its trial.
    is_canary_made_again: bool = False  #: It was deleted during its trial, and another one has its number now.
    doubt: str | None = None  #: What the cloud shows no more, at one look only.
    newer: str | None = None  #: The version that is to take this one's place.
    cloud_error: str | None = None  #: Why the cloud cannot be read.
    drift: str | None = None  #: How the routing differs from the plan.
    late_change: str | None = None  #: Which change of ours made it differ, arriving late; None: it was another hand.
    is_closed: bool = False  #: Somebody disabled the endpoint.
    readiness: Readiness | None = None  #: How sandboxes fare; None: nobody looked.
    tick_interval: timedelta = timedelta(seconds=10)  #: The time until the next look, at most.


def decide(rollout: Rollout, seen: Situation) -> Decision:
    """Return the one next move for ``rollout``.

    The questions stand in order of safety: harm first, then what people ask, then what is not as planned, then
    time, then progress.
    """
    if rollout.phase.is_final:
        return Hold(f"the rollout is {rollout.phase}")
    if seen.command and seen.command.verb is Verb.ABORT:
        return abort(rollout, seen.command)
    if rollout.step == 0 or seen.analysis is None:
        return begin(rollout, seen)
    if seen.is_gone:
        return Supersede("the agent was deleted")
    if seen.is_canary_gone or seen.is_canary_made_again:
        return lose_canary(rollout, is_made_again=seen.is_canary_made_again)
    if seen.analysis.verdict is Verdict.FAIL and (move := on_harm(rollout, seen.analysis)):
        return move
    if seen.command:
        return apply_command(rollout, seen.command)
    if rollout.is_stable_gone:
        return lose_stable(rollout)
    return go_on(rollout, seen, seen.analysis)


def go_on(rollout: Rollout, seen: Situation, analysis: Analysis) -> Decision:
    """Choose what comes next where neither harm nor a person decides."""
    is_paused = rollout.phase is Phase.PAUSED
    if seen.doubt:
        return Hold(rollout.because if is_paused else seen.doubt, "a second look")
    if seen.newer:
        return supersede(seen.newer)
    if is_paused:
        is_harm_new = analysis.verdict is Verdict.FAIL and rollout.harmed_at != rollout.step
        return Hold(analysis.because if is_harm_new else rollout.because, PERSON)
    if seen.drift:
        return answer_drift(rollout, seen, seen.drift)
    return progress(rollout, seen, analysis)


def begin(rollout: Rollout, seen: Situation) -> Decision:
    """Start a pending rollout once nothing stands in its way."""
    if seen.failure:
        return Fail(seen.failure)
    if seen.earlier and rollout.author is None:
        again = f"`rollout start --agent {rollout.agent} --version {rollout.canary}`"
        return Supersede(
            f"version {rollout.canary} was tried before: {seen.earlier}. Only a person tries it again: {again}"
        )
    if seen.command:
        return obey_before_start(rollout, seen.command)
    if seen.newer:
        return supersede(seen.newer)
    if rollout.phase is Phase.PAUSED:
        return Hold(rollout.because, rollout.waiting_for or PERSON)
    if wait := wait_for_stable(rollout, seen.doubt):
        return wait
    if seen.waits_for:
        return Hold(
            f"waiting for {seen.waits_for}" + (f": {seen.cloud_error}" if seen.cloud_error else ""), seen.waits_for
        )
    if move := before_users(rollout, seen.readiness, seen.now):
        return move
    if rollout.is_revert:
        because = f"version {rollout.canary} was stable before version {rollout.stable}: all new sessions go back to it"
        return Start(because + unseen(seen.readiness), step=rollout.policy.last_weight_step)
    because = f"version {rollout.canary} is active; {rollout.policy.weight_at(1)}% of new sessions go to it"
    return Start(because + unseen(seen.readiness))


def on_harm(rollout: Rollout, analysis: Analysis) -> Decision | None:
    """Do what the policy says about harm; None where that is to wait for a person, who then has the word."""
    match analysis.on_failure or rollout.policy.on_failure:
        case OnFailure.ROLLBACK:
            return retreat(rollout, analysis.because)
        case OnFailure.DISABLE:
            return Disable(analysis.because)
        case OnFailure.PAUSE:
            return None if rollout.phase is Phase.PAUSED else Pause(analysis.because)
        case OnFailure.HOLD:
            return None
        case other:
            assert_never(other)


def supersede(newer: str) -> Supersede:
    """End a trial for a newer version, which begins from the stable one."""
    return Supersede(f"version {newer} is newer and takes its place", goes_back=True)


def may_move(rollout: Rollout, decision: Decision) -> bool:
    """Whether ``decision`` may change the routing: before the first weight, only the start of a rollout does."""
    if not rollout.step:
        return isinstance(decision, Start)
    return isinstance(decision, MOVES) or (isinstance(decision, Supersede) and decision.goes_back)


def answer_drift(rollout: Rollout, seen: Situation, drift: str) -> Decision:
    """Do what the policy says when somebody else changed the routing; an endpoint closed by hand stays closed.

    What is our own is no drift: a change that arrived late is followed by the plan's.
    """
    if seen.late_change:
        return Restore(seen.late_change)
    on_drift = OnDrift.PAUSE if seen.is_closed else rollout.policy.on_drift
    match on_drift:
        case OnDrift.PAUSE:
            return Pause(drift)
        case OnDrift.RESTORE:
            contest = still(rollout.contest, seen.now)
            if contest and seen.now < contest.until:
                return Hold(f"{drift}. {contest.sentence(seen.now)}", "the other hand to let go")
            return Restore(because_restored(drift, contest, seen.now), is_contested=True)
        case OnDrift.ADOPT:
            return Supersede(drift)
        case other:
            assert_never(other)


def progress(rollout: Rollout, seen: Situation, analysis: Analysis) -> Decision:
    """Go forward on proof only; say what is missing otherwise."""
    now = seen.now
    if seen.cloud_error:
        return Hold(seen.cloud_error, "the cloud to answer")
    if rollout.age(now) >= rollout.policy.deadline:
        return Pause(f"the deadline of {rollout.policy.deadline} is over: {analysis.because}")
    if analysis.verdict is Verdict.FAIL:
        return Hold(analysis.because, "the harm to end, or a person")
    if rollout.waits_for_approval:
        return Hold(f"waiting for approval at {rollout.weight}%; {analysis.because}", "a person: approve or abort")
    if higher := next_weight(rollout, analysis, seen.tick_interval):
        return Advance(higher.because, step=higher.step)
    because = step_proof(rollout, analysis)
    if because is None:
        if rollout.is_step_overdue(now):
            return on_no_evidence(rollout, analysis)
        return Hold(analysis.because, analysis.waiting_for)
    if not rollout.has_baked(now):
        return Hold(f"well so far; the step is still baking. {because}", "the bake time of the step")
    return advance_or_promote(rollout, because)


def on_no_evidence(rollout: Rollout, analysis: Analysis) -> Decision:
    """Do what the policy says about a step whose time is over without proof; never go on blindly."""
    overdue = f"no proof within the step's time: {analysis.because}"
    match rollout.policy.on_no_evidence:
        case OnNoEvidence.HOLD:
            return Hold(overdue, analysis.waiting_for)
        case OnNoEvidence.PAUSE:
            return Pause(overdue)
        case OnNoEvidence.ROLLBACK:
            return retreat(rollout, overdue)
        case OnNoEvidence.ADVANCE_IF_NOT_GROSS:
            if analysis.verdict is Verdict.INSUFFICIENT and analysis.is_not_gross:
                return advance_or_promote(
                    rollout, f"time is over and less than 16 points worse is proved: {analysis.because}"
                )
            return Hold(overdue, analysis.waiting_for)
        case other:
            assert_never(other)


def after(rollout: Rollout, decision: Decision, now: datetime) -> Rollout:
    """Return the rollout as it stands once ``decision`` is confirmed by the cloud."""
    said = replace(rollout, because=decision.because, waiting_for=getattr(decision, "waiting_for", None))
    match decision:
        case Hold():
            return said
        case Decline():
            return rollout
        case Start():
            began = _stepped(said, now, decision.step)
            return replace(began, phase=Phase.PROGRESSING, started_at=now, measured_until=now)
        case Advance():
            return replace(_stepped(_resumed(said, now), now, decision.step), phase=Phase.PROGRESSING)
        case Pause():
            # A command raised the generation when it was accepted; a pause of our own accord raises it here.
            grown = said.generation + (decision.author is None)
            return replace(said, phase=Phase.PAUSED, paused_at=now, waiting_for=PERSON, generation=grown)
        case Resume():
            phase = Phase.PROGRESSING if rollout.step else Phase.PENDING
            return replace(_resumed(said, now), phase=phase, is_held=False)
        case Restore():
            contest = restored(said.contest, now) if decision.is_contested else said.contest
            return replace(said, generation=said.generation + 1, contest=contest)
        case Promote() | RollBack() | Disable() | Supersede() | Fail() | Abort():
            return replace(_ended(said, ENDS[type(decision)], now), ended_by=decision.author)
        case other:
            assert_never(other)


def _stepped(rollout: Rollout, now: datetime, step: int | None = None) -> Rollout:
    return replace(rollout, step=step or rollout.step + 1, step_started_at=now, generation=rollout.generation + 1)


def _resumed(rollout: Rollout, now: datetime) -> Rollout:
    """End a pause: the step did not age while it lasted, and the deadline counts anew."""
    if rollout.paused_at is None:
        return rollout
    pause = now - rollout.paused_at
    began = rollout.step_started_at + pause if rollout.step_started_at else None
    return replace(rollout, paused_at=None, resumed_at=now, step_started_at=began)


def _ended(rollout: Rollout, phase: Phase, now: datetime) -> Rollout:
    is_stopped = rollout.policy.sessions_on_rollback is SessionsOnRollback.STOP
    stops = Stops() if is_stopped and phase in {Phase.ROLLED_BACK, Phase.DISABLED} else None
    return replace(rollout, phase=phase, ended_at=now, generation=rollout.generation + 1, stops=stops)
