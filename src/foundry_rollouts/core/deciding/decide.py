"""Choose a rollout's next move, and say how the rollout stands after it.

The functions here are the heart of the controller. They are pure: no clock, no network, no database, no log.
Everything they may know arrives as an argument.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from foundry_rollouts.core.deciding.approving import counted, voided
from foundry_rollouts.core.deciding.groups import GroupSeen, pulled_back
from foundry_rollouts.core.deciding.loss import lose_canary, lose_stable, wait_for_stable
from foundry_rollouts.core.deciding.obey import (
    abort,
    apply_command,
    retreat,
    step_back,
)
from foundry_rollouts.core.deciding.progress import progress
from foundry_rollouts.core.deciding.readiness import Readiness, before_users, unseen
from foundry_rollouts.core.deciding.reins import Rein
from foundry_rollouts.core.deciding.unreadable import leave_alone
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.contest import because_restored, still
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.effects import OnDrift
from foundry_rollouts.core.model.policy import OnFailure
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing

PERSON = "a person: resume, promote or abort"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision may rest on, as of one instant."""

    now: datetime
    analysis: Analysis | None = None  #: None while the rollout is pending.
    commands: tuple[Command, ...] = ()  #: Those that nobody obeyed yet, the most urgent first.
    waits_for: str | None = None  #: Why a pending rollout cannot start yet.
    failure: str | None = None  #: Why the version can never become active.
    earlier: str | None = None  #: Which trial the version had before, where no person asked for another one.
    is_gone: bool = False  #: The cloud shows the agent no more.
    is_canary_gone: bool = False  #: The canary was deleted during its trial.
    is_canary_made_again: bool = False  #: It was deleted during its trial, and another one has its number now.
    doubt: str | None = None  #: What the cloud no longer shows, by one read only.
    newer: str | None = None  #: The version that is to take this one's place.
    cloud_error: str | None = None  #: Why the cloud cannot be read.
    drift: str | None = None  #: How the routing differs from the plan.
    late_change: str | None = None  #: Which change of ours made it differ, arriving late; None: it was another hand.
    is_closed: bool = False  #: Somebody disabled the endpoint.
    readiness: Readiness | None = None  #: How sandboxes fare; None: not checked.
    routing: Routing | None = None  #: As the endpoint serves it; None: the cloud could not be read.
    settings: str | None = None  #: What the endpoint has beside its weights, to be kept.
    notes: tuple[str, ...] = ()  #: What sources have to say for the history, which changes nothing.
    time_needed: str | None = None  #: How long the rollout takes, where that is known for the first time.
    reins: tuple[Rein, ...] = ()  #: What keeps rollouts from starting and rising; none keeps one from going back.
    policy_in_force: str | None = None  #: The hash of the policy of that name by now; None: there is none.
    group: GroupSeen | None = None  #: The agents that move in lockstep with this one; None: it moves by itself.
    unreadable: str | None = None  #: Why the rules of the endpoint cannot be read: nothing may be changed.
    tick_interval: timedelta = timedelta(seconds=10)  #: The time until the next tick, at most.

    @property
    def command(self) -> Command | None:
        """The most urgent command that nobody obeyed yet."""
        return self.commands[0] if self.commands else None


def decide(rollout: Rollout, seen: Situation) -> Decision:
    """Return the one next move for ``rollout``.

    The questions stand in order of safety: harm first, then what people ask, then what is not as planned, then
    time, then progress.
    """
    if seen.unreadable is not None:
        return leave_alone(rollout, seen.analysis, seen.unreadable)
    if rollout.phase.is_final:
        return Decision(Move.HOLD, f"the rollout is {rollout.phase}")
    if seen.command and seen.command.verb is Verb.ABORT:
        return abort(rollout, seen.command)
    if rollout.step == 0 or seen.analysis is None:
        return pulled_back(rollout, seen.group) or begin(rollout, seen)
    if seen.is_gone:
        return Decision(Move.SUPERSEDE, "the agent was deleted")
    if seen.is_canary_gone or seen.is_canary_made_again:
        return lose_canary(rollout, is_made_again=seen.is_canary_made_again)
    if move := go_back(rollout, seen.analysis, seen.group):
        return move
    if seen.command:
        count = counted(rollout, seen.command, seen.now, seen.policy_in_force, seen.doubt)
        return count or apply_command(rollout, seen.command)
    if rollout.is_stable_gone:
        return lose_stable(rollout)
    return go_on(rollout, seen, seen.analysis)


def go_back(rollout: Rollout, analysis: Analysis, group: GroupSeen | None) -> Decision | None:
    """Do what harm leads to, its own before that of another one in its group; None where there is none."""
    own = on_harm(rollout, analysis) if analysis.verdict is Verdict.FAIL else None
    if own is not None and own.move.is_retreat:
        return own
    return pulled_back(rollout, group) or own


def go_on(rollout: Rollout, seen: Situation, analysis: Analysis) -> Decision:
    """Choose what comes next where neither harm nor a person decides."""
    is_paused = rollout.phase is Phase.PAUSED
    if void := voided(rollout, seen.now, seen.policy_in_force):
        return void
    if seen.doubt:
        return Decision(Move.HOLD, rollout.because if is_paused else seen.doubt, "a second read")
    if analysis.guarded and not seen.drift and (move := on_guard(rollout, analysis, analysis.guarded)):
        return move
    if seen.newer:
        return supersede(seen.newer)
    if is_paused:
        is_harm_new = analysis.verdict is Verdict.FAIL and rollout.harmed_at != rollout.step
        return Decision(Move.HOLD, analysis.because if is_harm_new else rollout.because, PERSON)
    if seen.drift:
        return answer_drift(rollout, seen, seen.drift)
    if seen.cloud_error:
        return Decision(Move.HOLD, seen.cloud_error, "the cloud to answer")
    return progress(rollout, analysis, seen.now, seen.tick_interval)


def begin(rollout: Rollout, seen: Situation) -> Decision:
    """Start a pending rollout once nothing stands in its way."""
    if seen.failure:
        return Decision(Move.FAIL, seen.failure)
    if seen.earlier and rollout.author is None:
        again = f"`rollout start --agent {rollout.agent} --version {rollout.canary}`"
        return Decision(
            Move.SUPERSEDE,
            f"version {rollout.canary} was tried before: {seen.earlier}. Only a person tries it again: {again}",
        )
    if seen.command:
        return apply_command(rollout, seen.command)
    if seen.newer:
        return supersede(seen.newer)
    if rollout.phase is Phase.PAUSED:
        return Decision(Move.HOLD, rollout.because, rollout.waiting_for or PERSON)
    if wait := wait_for_stable(rollout, seen.doubt):
        return wait
    if seen.waits_for:
        return Decision(
            Move.HOLD,
            f"waiting for {seen.waits_for}" + (f": {seen.cloud_error}" if seen.cloud_error else ""),
            seen.waits_for,
        )
    if move := before_users(rollout, seen.readiness, seen.now):
        return move
    if rollout.is_revert:
        because = f"version {rollout.canary} was stable before version {rollout.stable}: all new sessions go back to it"
        return Decision(Move.START, because + unseen(seen.readiness), step=rollout.policy.last_weight_step)
    because = f"version {rollout.canary} is active; {rollout.policy.weight_at(1)}% of new sessions go to it"
    return Decision(Move.START, because + unseen(seen.readiness))


def on_harm(rollout: Rollout, analysis: Analysis) -> Decision | None:
    """Do what the policy says about harm; None where that is to wait for a person, who then has the word."""
    match analysis.on_failure or rollout.policy.on_failure:
        case OnFailure.ROLLBACK:
            return retreat(rollout, analysis.because)
        case OnFailure.DISABLE:
            return Decision(Move.DISABLE, analysis.because)
        case OnFailure.PAUSE:
            return None if rollout.phase is Phase.PAUSED else Decision(Move.PAUSE, analysis.because)
        case OnFailure.HOLD:
            return None
        case other:
            assert_never(other)


def on_guard(rollout: Rollout, analysis: Analysis, because: str) -> Decision | None:
    """Go back to a weight that compares; where the plan has none, it is harm like any other.

    A version that was stable before and took everything at once has nothing better to go back to: a person decides.
    """
    if rollout.is_revert:
        return None if rollout.phase is Phase.PAUSED else Decision(Move.PAUSE, because)
    back = step_back(rollout, because)
    return back or on_harm(rollout, replace(analysis, because=because, on_failure=None))


def supersede(newer: str) -> Decision:
    """End a trial for a newer version, which begins from the stable one."""
    return Decision(Move.SUPERSEDE, f"version {newer} is newer and takes its place", goes_back=True)


def answer_drift(rollout: Rollout, seen: Situation, drift: str) -> Decision:
    """Do what the policy says when somebody else changed the routing; an endpoint closed by hand stays closed.

    What is our own is no drift: a change that arrived late is followed by the plan's.
    """
    if seen.late_change:
        return Decision(Move.RESTORE, seen.late_change)
    on_drift = OnDrift.PAUSE if seen.is_closed else rollout.policy.on_drift
    match on_drift:
        case OnDrift.PAUSE:
            return Decision(Move.PAUSE, drift)
        case OnDrift.RESTORE:
            contest = still(rollout.contest, seen.now)
            if contest and seen.now < contest.until:
                return Decision(Move.HOLD, f"{drift}. {contest.sentence(seen.now)}", "the other controller to stop")
            return Decision(Move.RESTORE, because_restored(drift, contest, seen.now), is_contested=True)
        case OnDrift.ADOPT:
            return Decision(Move.SUPERSEDE, drift)
        case other:
            assert_never(other)
