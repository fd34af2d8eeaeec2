"""What follows from a decision, whole: the rollout after it, its event, the routing to send, the evidence to keep.

``transition`` is the one place where a decision becomes something to record and to send. It is pure, and a transition
that breaks a law of ``invariants`` cannot be made: making it raises BrokenLawError.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.deciding.approving import asking
from foundry_rollouts.core.deciding.decide import Situation, decide
from foundry_rollouts.core.deciding.groups import GroupSeen, in_step
from foundry_rollouts.core.deciding.invariants import Step, check
from foundry_rollouts.core.deciding.obey import answered, saying_whom
from foundry_rollouts.core.deciding.observing import as_planned, check_observed, event_of, rollout_of
from foundry_rollouts.core.deciding.outcome import after
from foundry_rollouts.core.deciding.progress import has_trouble_lasted
from foundry_rollouts.core.deciding.recording import recording
from foundry_rollouts.core.deciding.refused import CLOUD, is_resting
from foundry_rollouts.core.deciding.reins import concerning, reined, with_reins
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence, accepting, at_new_weight, initial
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnSplit
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import STOPS_AGAIN_AFTER, Rollout
from foundry_rollouts.core.model.routing import Routing, keep_closed, routing_of


@dataclass(frozen=True, slots=True)
class Transition:
    """One decision with everything that follows from it."""

    before: Rollout
    decision: Decision
    then: Rollout
    seen: Routing  #: What the endpoint serves; what the plan says where that could not be read.
    target: Routing  #: What it is to serve.
    at: datetime
    event: Event | None = None  #: None: nothing that the history records.
    analysis: Analysis | None = None
    evidence: Evidence | None = None  #: None: it stays as it is.
    answered: tuple[Command, ...] = ()  #: The commands that need no more attention.
    earlier: str | None = None  #: Which other trial the version had in this incarnation of the agent.
    group: GroupSeen | None = None  #: The agents that move with this one.
    is_withheld: bool = False  #: It would change the cloud, which refused that a moment ago.
    is_observed: bool = False  #: It says what would have been done, and moves nothing.

    def __post_init__(self) -> None:
        if self.is_observed:
            check_observed(self.before, self.seen, self.target)
            return
        what = (self.before, self.then, self.decision, self.seen, self.target)
        check(Step(*what, self.analysis, self.earlier, self.group))

    @property
    def is_retreat(self) -> bool:
        """Whether it lowers the canary's exposure, and is repeated until it is done."""
        return self.decision.move.is_retreat and not self.is_observed

    @property
    def is_step(self) -> bool:
        """Whether it changes the cloud, and is no way back."""
        return self.seen != self.target and not self.is_retreat

    @property
    def is_change(self) -> bool:
        """Whether it changes the cloud, or ends the rollout."""
        return self.seen != self.target or self.then.phase.is_final

    def due_at(self, seen: Situation) -> datetime | None:
        """Return when to check again: at once after a start, and while commands are left; never after the end.

        After a start at once, for the sources begin to watch when they are first asked. A rollout that has ended is
        checked only where sessions of its canary are still to be stopped.
        """
        if self.then.phase.is_final:
            return seen.now + STOPS_AGAIN_AFTER if self.then.owes_stops else None
        is_left = len(self.answered) < len(seen.commands) and not self.is_withheld
        is_at_once = is_left or self.decision.move in {Move.START, Move.DECLINE}
        return seen.now if is_at_once else seen.now + seen.tick_interval


def transition(recorded: Rollout, rollout: Rollout, seen: Situation) -> Transition:
    """Return the next step of ``rollout``, which is ``recorded`` with what was noticed since.

    Raises BrokenLawError when the step is one that no rollout may take.
    """
    if rollout.policy.observes:
        planned = as_planned(rollout, seen)
        return _observed(_followed(recorded, rollout, decide(rollout, planned), planned), seen)
    decision = noting_split(rollout, decide(rollout, seen), seen.analysis)
    step = _followed(recorded, rollout, decision, seen)
    if seen.unreadable is not None:
        return replace(step, is_withheld=True)
    refused = rollout.refused
    if refused is None or not step.is_step or not is_resting(refused, seen.commands, seen.now):
        return step
    wait = Decision(Move.HOLD, refused.sentence(seen.now), CLOUD)
    return replace(_follow(recorded, rollout, wait, seen), is_withheld=True)


def _followed(recorded: Rollout, rollout: Rollout, decision: Decision, seen: Situation) -> Transition:
    """Return what follows from ``decision``, or the wait that reins make of it: commands stay open then."""
    at = in_step(rollout, decision, seen.group, concerning(rollout, decision, seen.reins, seen.routing))
    if wait := reined(at.rollout, at.decision, at.reins, seen.routing):
        held = with_reins(at.rollout, at.reins, seen.now)
        return replace(_follow(recorded, held, wait, seen), before=rollout, is_withheld=True)
    return _follow(recorded, with_reins(at.rollout, (), seen.now), at.decision, seen)


def noting_split(rollout: Rollout, decision: Decision, analysis: Analysis | None) -> Decision:
    """Return a decision that says what the policy wants noted, once a step: new sessions do not follow the weight."""
    if not _is_split_new(rollout, analysis) or analysis is None:
        return decision
    return replace(decision, because=f"{analysis.split}. {decision.because}")


def _is_split_new(rollout: Rollout, analysis: Analysis | None) -> bool:
    is_noted = rollout.policy.on_split is OnSplit.NOTE and rollout.split_noted != rollout.step
    return is_noted and analysis is not None and analysis.split is not None


def retreat_by(rollout: Rollout, decision: Decision, seen: Situation) -> Transition:
    """Return the way back that ``decision`` wants, whatever else would be decided."""
    if rollout.policy.observes:
        return _observed(_follow(rollout, rollout, decision, as_planned(rollout, seen)), seen)
    return _follow(rollout, rollout, decision, seen)


def _observed(step: Transition, seen: Situation) -> Transition:
    """Return ``step`` as what would have been done: the endpoint serves what it served."""
    served = seen.routing or step.seen
    return replace(
        step,
        then=rollout_of(step.then, step.decision),
        seen=served,
        target=served,
        event=event_of(step.event, step.decision, served) if step.event else None,
        is_observed=True,
    )


def ending(rollout: Rollout, because: str, now: datetime) -> Transition:
    """Return the end of a rollout whose agent is another one now: it says nothing of weights."""
    step = _follow(rollout, rollout, Decision(Move.SUPERSEDE, because), Situation(now))
    return step if step.event is None else replace(step, event=replace(step.event, weights=None))


def _follow(recorded: Rollout, rollout: Rollout, decision: Decision, seen: Situation) -> Transition:
    then = _judged(rollout, after(rollout, decision, seen.now), decision, seen)
    then = asking(then, seen.policy_in_force)
    closed = answered(decision, then, seen.commands)
    if not then.phase.is_final:
        decision = saying_whom(decision, closed)
        if decision.move is not Move.DECLINE and decision.because != then.because:
            then = replace(then, because=decision.because)
    routing = seen.routing or routing_of(rollout)
    target = _target(rollout, then, routing) if may_move(rollout, decision) else routing
    if routing != target:
        then = replace(then, refused=None)
    then, event = recording(recorded, rollout, then, decision, seen)
    return Transition(
        before=rollout,
        decision=decision,
        then=then,
        seen=routing,
        target=target,
        at=seen.now,
        event=event,
        analysis=seen.analysis,
        evidence=_evidence(rollout, then, decision, seen.analysis),
        answered=closed,
        earlier=seen.earlier,
        group=seen.group,
    )


def may_move(rollout: Rollout, decision: Decision) -> bool:
    """Whether ``decision`` may change the routing: before the first weight, only the start of a rollout does."""
    return decision.moves_traffic if rollout.step else decision.move is Move.START


def _target(rollout: Rollout, then: Rollout, seen: Routing) -> Routing:
    """Return the routing of the plan; where no version of it is left, the weights stay as they are."""
    wanted = routing_of(then)
    absent = {each.what for each in rollout.missing}
    is_left = not absent & {version for version, _ in wanted.weights}
    return keep_closed(wanted if is_left or wanted.is_open else replace(seen, is_open=False), seen)


def _judged(rollout: Rollout, then: Rollout, decision: Decision, seen: Situation) -> Rollout:
    if seen.analysis is None:
        return then
    is_troubled = seen.analysis.verdict is Verdict.SHARED_TROUBLE
    judged = replace(then, verdict=seen.analysis.verdict, measured_until=seen.now)
    judged = judged.with_clocks(seen.now, is_troubled=is_troubled)
    if decision.move is Move.PAUSE and decision.author is None:
        judged = replace(judged, is_trouble_asked=is_troubled and has_trouble_lasted(rollout, seen.now))
    if _is_split_new(then, seen.analysis):
        judged = replace(judged, split_noted=then.step)
    is_harmed = seen.analysis.verdict is Verdict.FAIL and decision.move is not Move.ADVANCE
    return replace(judged, harmed_at=then.step) if is_harmed else judged


def _evidence(rollout: Rollout, then: Rollout, decision: Decision, analysis: Analysis | None) -> Evidence | None:
    """Return the evidence to keep: each weight earns its own proof."""
    if analysis is None:
        return initial(rollout.policy, rollout.prior_counts) if then.step and not rollout.step else None
    if decision.move is Move.RESUME and decision.author is not None:
        return accepting(analysis.evidence, is_normal=rollout.is_trouble_asked)
    if then.weight == rollout.weight:
        return analysis.evidence
    # What was proved below counts no more for a canary that went back.
    anew = at_new_weight(analysis.evidence)
    return replace(anew, is_proved=False) if decision.move is Move.STEP_BACK else anew
