"""What one decision amounts to: how the rollout stands after it, what the cloud has to become, what is told of it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.controller.apply import Change, keep_closed
from foundry_rollouts.controller.observe import Sight, drift_of
from foundry_rollouts.controller.stop_sessions import SOON
from foundry_rollouts.core.deciding.decide import Situation, after, may_move
from foundry_rollouts.core.deciding.invariants import Transition, check
from foundry_rollouts.core.deciding.loss import losing, loss_of
from foundry_rollouts.core.deciding.obey import answered, saying_whom
from foundry_rollouts.core.deciding.unreadable import is_news
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.judging.evidence import Evidence, at_new_weight, initial
from foundry_rollouts.core.model.command import Command
from foundry_rollouts.core.model.decision import (
    Advance,
    Decision,
    Decline,
    Disable,
    Fail,
    Hold,
    Restore,
    RollBack,
    Start,
    Supersede,
)
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing, routing_of

#: Moves that lower the canary's exposure; they are repeated until they are done.
RETREATS = (RollBack, Disable, Supersede, Fail)
#: Silences that the history tells about, once each.
TOLD = {Verdict.SOURCE_ERROR, Verdict.STALE}


@dataclass(frozen=True, slots=True)
class Move:
    """A decision with all that follows from it."""

    decision: Decision
    then: Rollout
    change: Change
    closed: tuple[Command, ...] = ()  #: The requests that it answers.
    is_withheld: bool = False  #: It would change the cloud, which refused that a moment ago.

    @property
    def is_step(self) -> bool:
        """Whether it changes the cloud, and is no way back."""
        return self.change.before != self.change.target and not self.change.is_retreat


def move_by(rollout: Rollout, decision: Decision, sight: Sight, analysis: Analysis | None, now: datetime) -> Move:
    """Return what ``decision`` amounts to."""
    then = _noted(after(rollout, decision, now), decision, analysis, now)
    closed = answered(decision, then, sight.commands)
    if not then.phase.is_final:
        decision = saying_whom(decision, closed)
        then = then if isinstance(decision, Decline) else replace(then, because=decision.because)
    change = _change(rollout, then, decision, sight)
    if change.before != change.target:
        then = replace(then, refused=None)
    return Move(decision, then, change, closed)


def situation(rollout: Rollout, sight: Sight, analysis: Analysis | None, now: datetime, look: timedelta) -> Situation:
    """Put together what a decision may rest on."""
    loss = loss_of(rollout, now)
    return Situation(
        now=now,
        analysis=analysis,
        command=sight.commands[0] if sight.commands else None,
        waits_for=sight.waits_for,
        failure=sight.failure,
        earlier=sight.earlier,
        newer=sight.newer,
        is_gone=loss.agent,
        is_canary_gone=loss.canary,
        is_canary_made_again=loss.original,
        doubt=loss.doubt,
        cloud_error=sight.blind,
        drift=drift_of(rollout, sight.routing),
        late_change=sight.late,
        is_closed=sight.routing is not None and not sight.routing.is_open,
        readiness=sight.readiness,
        tick_interval=look,
    )


def with_reads(rollout: Rollout, sight: Sight) -> Rollout:
    """Return the rollout with what was read of its version: until the start, its trial is of the one that is there."""
    read = rollout if sight.endings is None else replace(rollout, endings=sight.endings)
    if sight.canary is None:
        return read
    return replace(read, canary_created_at=sight.canary.created_at, canary_content=sight.canary.content)


def with_losses(rollout: Rollout, sight: Sight, now: datetime) -> Rollout:
    """Return the rollout with what the cloud does not show; unchanged where that was not looked at."""
    if sight.absent is None:
        return rollout
    return losing(rollout, sight.absent, now)


def is_told(before: Rollout, move: Move, analysis: Analysis | None) -> bool:
    """Whether the history tells of a decision: of every move, and of a wait when something of note begins with it.

    Two hands on the wheel are told once and then by reminders, however often the routing is restored.
    """
    then = move.then
    if isinstance(move.decision, Restore) and move.decision.is_contested:
        return then.contest is not None and then.contest.told_at == then.contest.at
    if not isinstance(move.decision, Hold):
        return True
    if is_news(before, move.decision):
        return True
    if is_harm_new(before, then) or then.is_stable_gone != before.is_stable_gone:
        return True
    return analysis is not None and analysis.verdict in TOLD and analysis.verdict != before.verdict


def is_harm_new(before: Rollout, then: Rollout) -> bool:
    """Whether harm was just proved at this step."""
    return then.harmed_at is not None and then.harmed_at != before.harmed_at


def due_after(move: Move, sight: Sight, now: datetime, period: timedelta) -> datetime | None:
    """Return when to look again: at once after a start, and while requests are left; never after the end.

    After a start at once, for the sources begin to watch when they are first asked. A rollout that has ended is looked
    at only where sessions of its canary are still to be stopped.
    """
    if move.then.phase.is_final:
        return now + SOON if move.then.owes_stops else None
    is_left = len(move.closed) < len(sight.commands) and not move.is_withheld
    return now if is_left or isinstance(move.decision, Start | Decline) else now + period


def evidence_after(rollout: Rollout, then: Rollout, analysis: Analysis | None) -> Evidence | None:
    """Return the evidence to keep: each weight earns its own proof."""
    if analysis is None:
        return initial(rollout.policy, rollout.prior_counts) if then.step and not rollout.step else None
    return at_new_weight(analysis.evidence) if then.weight != rollout.weight else analysis.evidence


def _noted(then: Rollout, decision: Decision, analysis: Analysis | None, now: datetime) -> Rollout:
    if analysis is None:
        return then
    seen = replace(then, verdict=analysis.verdict, measured_until=now)
    if analysis.verdict is Verdict.FAIL and not isinstance(decision, Advance):
        return replace(seen, harmed_at=then.step)
    return seen


def _change(rollout: Rollout, then: Rollout, decision: Decision, sight: Sight) -> Change:
    """Return what the cloud has to become; where nothing may move, that is what it is."""
    before = sight.routing or routing_of(rollout)
    target = keep_closed(_target(rollout, then, before), before) if may_move(rollout, decision) else before
    return Change(before, target, isinstance(decision, RETREATS), sight.settings)


def _target(rollout: Rollout, then: Rollout, before: Routing) -> Routing:
    """Return the routing of the plan; where no version of it is left, the weights stay as they are."""
    wanted = routing_of(then)
    absent = {each.what for each in rollout.missing}
    is_left = not absent & {version for version, _ in wanted.weights}
    return wanted if is_left or wanted.is_open else replace(before, is_open=False)


def checked(rollout: Rollout, move: Move, analysis: Analysis | None, sight: Sight) -> Move:
    """Return ``move`` itself. Raises BrokenLawError when it does what no step may do, whoever made it so."""
    change = move.change
    check(Transition(rollout, move.then, move.decision, change.before, change.target, analysis, sight.earlier))
    return move
