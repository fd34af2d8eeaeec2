"""Choose a rollout's next move, and say how the rollout stands after it.

The functions here are the heart of the controller. They are pure: no clock, no network, no database, no log.
Everything they may know arrives as an argument.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from foundry_rollouts.core.analysis import Analysis, Verdict
from foundry_rollouts.core.command import Command, Verb
from foundry_rollouts.core.decision import (
    Abort,
    Advance,
    Decision,
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
from foundry_rollouts.core.policy import OnDrift, OnFailure, OnNoEvidence, SessionsOnRollback
from foundry_rollouts.core.readiness import Readiness, before_users, unseen
from foundry_rollouts.core.rollout import Phase, Rollout, Stops
from foundry_rollouts.core.schedule import proof, rise

ENDS = {
    Promote: Phase.PROMOTED,
    RollBack: Phase.ROLLED_BACK,
    Disable: Phase.DISABLED,
    Supersede: Phase.SUPERSEDED,
    Fail: Phase.FAILED,
    Abort: Phase.ABORTED,
}
#: Decisions that may move traffic, beside giving way to a newer version; the others leave the cloud as it is.
MOVES = (Start, Advance, Promote, RollBack, Disable, Restore, Resume)
PERSON = "a person: resume, promote or abort"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision may rest on, as of one instant."""

    now: datetime
    analysis: Analysis | None = None  #: None while the rollout is pending.
    command: Command | None = None  #: The most urgent one that nobody obeyed yet.
    waits_for: str | None = None  #: Why a pending rollout cannot start yet.
    failure: str | None = None  #: Why the version can never become active.
    is_gone: bool = False  #: The cloud shows the agent no more.
    newer: str | None = None  #: The version that is to take this one's place.
    blind: str | None = None  #: Why the cloud cannot be read.
    drift: str | None = None  #: How the routing differs from the plan.
    late: str | None = None  #: Which change of ours made it differ, arriving late; None: it was another hand.
    is_closed: bool = False  #: Somebody disabled the endpoint.
    readiness: Readiness | None = None  #: How sandboxes fare; None: nobody looked.
    look: timedelta = timedelta(seconds=10)  #: The time until the next look, at most.


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
    if seen.analysis.verdict is Verdict.FAIL and (move := answer_harm(rollout, seen.analysis)):
        return move
    if seen.command and (move := obey(rollout, seen.command)):
        return move
    if seen.newer:
        return make_way(seen.newer)
    if rollout.phase is Phase.PAUSED:
        return Hold(rollout.because, PERSON)
    if seen.drift and (move := answer_drift(rollout, seen, seen.drift)):
        return move
    return progress(rollout, seen, seen.analysis)


def begin(rollout: Rollout, seen: Situation) -> Decision:
    """Start a pending rollout once nothing stands in its way."""
    if seen.failure:
        return Fail(seen.failure)
    if seen.command and (move := obey_before_start(rollout, seen.command)):
        return move
    if seen.newer:
        return make_way(seen.newer)
    if rollout.phase is Phase.PAUSED:
        return Hold(rollout.because, rollout.waiting_for or PERSON)
    if seen.waits_for:
        return Hold(f"waiting for {seen.waits_for}" + (f": {seen.blind}" if seen.blind else ""), seen.waits_for)
    if move := before_users(rollout, seen.readiness, seen.now):
        return move
    if rollout.is_return:
        because = f"version {rollout.canary} was stable before version {rollout.stable}: all new sessions go back to it"
        return Start(because + unseen(seen.readiness), step=rollout.policy.last_weight_step)
    because = f"version {rollout.canary} is active; {rollout.policy.weight_at(1)}% of new sessions go to it"
    return Start(because + unseen(seen.readiness))


def obey_before_start(rollout: Rollout, command: Command) -> Decision | None:
    """Do what a person asks of a rollout that has not begun: it can only be kept from it, or let go again."""
    is_paused = rollout.phase is Phase.PAUSED
    if command.verb is Verb.PAUSE and not is_paused:
        return Pause(command.because, command.author)
    if command.verb in {Verb.RESUME, Verb.PROMOTE} and is_paused:
        return Resume(command.because, command.author)
    return None


def answer_harm(rollout: Rollout, analysis: Analysis) -> Decision | None:
    """Do what the policy says about harm; None when it says so and that is already so."""
    match analysis.on_failure or rollout.policy.on_failure:
        case OnFailure.ROLLBACK:
            return retreat(rollout, analysis.because)
        case OnFailure.DISABLE:
            return Disable(analysis.because)
        case OnFailure.PAUSE:
            return None if rollout.phase is Phase.PAUSED else Pause(analysis.because)
        case OnFailure.HOLD:
            return None if rollout.phase is Phase.PAUSED else Hold(analysis.because, "the harm to end, or a person")
        case other:
            assert_never(other)


def abort(rollout: Rollout, command: Command) -> Decision:
    """End a rollout at the word of a person; what has not begun moves nothing."""
    if rollout.step:
        return retreat(rollout, command.because, command.author)
    return Abort(f"{command.because}; aborted before it began, nothing was moved", command.author)


def retreat(rollout: Rollout, because: str, author: str | None = None) -> RollBack | Disable:
    """Go back to the stable version, or close the endpoint if there is none."""
    return RollBack(because, author) if rollout.stable else Disable(because, author)


def obey(rollout: Rollout, command: Command) -> Decision | None:
    """Do what a person asks; None when there is nothing to do."""
    is_paused = rollout.phase is Phase.PAUSED
    match command.verb:
        case Verb.ABORT:
            return abort(rollout, command)
        case Verb.PAUSE:
            return None if is_paused else Pause(command.because, command.author)
        case Verb.RESUME:
            return Resume(command.because, command.author) if is_paused else None
        case Verb.PROMOTE:
            return forward(rollout, command.because, command.author)
        case Verb.APPROVE:
            return forward(rollout, command.because, command.author) if rollout.waits_for_approval else None
        case other:
            assert_never(other)


def make_way(newer: str) -> Supersede:
    """End a trial for a newer version, which begins from the stable one."""
    return Supersede(f"version {newer} is newer and takes its place", goes_back=True)


def may_move(rollout: Rollout, decision: Decision) -> bool:
    """Whether ``decision`` may change the routing: before the first weight, only the start of a rollout does."""
    if not rollout.step:
        return isinstance(decision, Start)
    return isinstance(decision, MOVES) or (isinstance(decision, Supersede) and decision.goes_back)


def answer_drift(rollout: Rollout, seen: Situation, drift: str) -> Decision | None:
    """Do what the policy says when somebody else changed the routing; an endpoint closed by hand stays closed.

    What is our own is no drift: a change that arrived late is followed by the plan's.
    """
    if seen.late:
        return Restore(seen.late)
    on_drift = OnDrift.PAUSE if seen.is_closed else rollout.policy.on_drift
    match on_drift:
        case OnDrift.PAUSE:
            return Pause(drift)
        case OnDrift.RESTORE:
            return Restore(drift)
        case OnDrift.ADOPT:
            return Supersede(drift)
        case other:
            assert_never(other)


def progress(rollout: Rollout, seen: Situation, analysis: Analysis) -> Decision:
    """Go forward on proof only; say what is missing otherwise."""
    now = seen.now
    if seen.blind:
        return Hold(seen.blind, "the cloud to answer")
    if rollout.age(now) >= rollout.policy.deadline:
        return Pause(f"the deadline of {rollout.policy.deadline} is over: {analysis.because}")
    if analysis.verdict is Verdict.FAIL:
        return Hold(analysis.because, "the harm to end, or a person")
    if rollout.waits_for_approval:
        return Hold(f"waiting for approval at {rollout.weight}%; {analysis.because}", "a person: approve or abort")
    if higher := rise(rollout, analysis, seen.look):
        return Advance(higher.because, step=higher.step)
    because = proof(rollout, analysis)
    if because is None:
        if rollout.is_step_overdue(now):
            return without_proof(rollout, analysis)
        return Hold(analysis.because, analysis.waiting_for)
    if not rollout.has_baked(now):
        return Hold(f"well so far; the step is still baking. {because}", "the bake time of the step")
    return forward(rollout, because)


def without_proof(rollout: Rollout, analysis: Analysis) -> Decision:
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
                return forward(rollout, f"time is over and less than 16 points worse is proved: {analysis.because}")
            return Hold(overdue, analysis.waiting_for)
        case other:
            assert_never(other)


def forward(rollout: Rollout, because: str, author: str | None = None) -> Advance | Promote:
    """Take the next step; behind the last one, promote."""
    return Promote(because, author) if rollout.is_on_last_step else Advance(because, author)


def after(rollout: Rollout, decision: Decision, now: datetime) -> Rollout:
    """Return the rollout as it stands once ``decision`` is confirmed by the cloud."""
    said = replace(rollout, because=decision.because, waiting_for=getattr(decision, "waiting_for", None))
    match decision:
        case Hold():
            return said
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
            return replace(said, generation=said.generation + 1)
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
