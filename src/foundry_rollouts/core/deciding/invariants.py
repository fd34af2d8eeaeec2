"""What no step of a rollout may do, whoever decided it: held against every step before it is sent or recorded.

The laws are written down a second time here, apart from the rules that choose the step, so that a mistake there stops
at these. A way back to the stable version is never refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from foundry_rollouts.core.deciding.automatic import is_quiet, step_proof
from foundry_rollouts.core.deciding.groups import GroupSeen, takes_part
from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.access import folded, is_author
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.policy import (
    SOAK,
    OnNoEvidence,
)
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing, routing_of
from foundry_rollouts.errors import BrokenLawError

#: Under these nothing is proved, whatever else speaks for it.
NO_PROOF = {Verdict.FAIL, Verdict.SHARED_TROUBLE, Verdict.SPLIT_IGNORED}
#: How a rollout ends whose canary keeps nothing.
BACK = {Phase.ROLLED_BACK, Phase.DISABLED, Phase.SUPERSEDED, Phase.FAILED}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout: how it stands before and after, and what the endpoint serves and is to serve."""

    before: Rollout
    after: Rollout
    decision: Decision
    seen: Routing
    target: Routing
    analysis: Analysis | None = None
    earlier: str | None = None  #: Which other trial the version had in this incarnation of the agent.
    group: GroupSeen | None = None  #: The agents that move with this one.

    @property
    def moves(self) -> bool:
        return self.target != self.seen

    @property
    def raises(self) -> bool:
        """Whether the canary gets more than the endpoint gives it now."""
        return self.target.weight(self.before.canary) > self.seen.weight(self.before.canary)

    @property
    def author(self) -> str | None:
        return self.decision.author

    @property
    def is_way_back(self) -> bool:
        """Whether a trial under way ends with all traffic on the stable version, or with the endpoint closed."""
        is_ending = self.before.step > 0 and not self.before.phase.is_final and self.after.phase in BACK
        if not is_ending:
            return False
        to_stable = self.before.stable is not None and self.target.weights == ((self.before.stable, 100),)
        return to_stable or (not self.target.is_open and self.after.phase is Phase.DISABLED)


def check(step: Step) -> None:
    """Raise BrokenLawError where ``step`` does what no step may do."""
    if step.is_way_back:
        return
    for law in LAWS:
        if fault := law(step):
            what = f"{step.before.agent}: {step.decision.move} of version {step.before.canary} from {step.seen}"
            raise BrokenLawError(f"{what} to {step.target}: {fault}. Nothing was sent or recorded; please report it")


def check_pin(seen: Routing, target: Routing, stable: str | None, becomes: str | None) -> None:
    """Raise BrokenLawError where a change between rollouts gives traffic to a version that nobody chose.

    ``stable`` is the stable version before, ``becomes`` the one after. Only the stable version may get more than it
    had, and another one becomes stable only where it serves.
    """
    unnamed = seen.weight(LATEST)
    for version, weight in target.weights:
        had = seen.weight(version)
        if version == becomes and (version == stable or had or unnamed or not seen.weights or stable is None):
            continue
        if weight > had + unnamed:
            raise BrokenLawError(
                f"version {version} would get {weight}% between rollouts, where the endpoint serves {seen} and version"
                f" {stable} is the stable one. Nothing was sent or recorded; please report it"
            )


def _an_end_is_an_end(step: Step) -> str | None:
    if step.before.phase.is_final and (step.moves or step.after.phase is not step.before.phase):
        return f"the rollout is {step.before.phase}, and never goes on"
    return None


def _what_never_began_moves_nothing(step: Step) -> str | None:
    if step.before.step or step.before.phase.is_final or step.decision.move is Move.START:
        return None
    if step.moves:
        return "the rollout has not begun, and moves nothing"
    is_sound = step.after.step == 0 and step.after.phase not in {Phase.PROMOTED, Phase.ROLLED_BACK, Phase.PROGRESSING}
    return (
        None if is_sound else f"the rollout has not begun, and cannot be {step.after.phase} at step {step.after.step}"
    )


def _only_a_person_tries_again(step: Step) -> str | None:
    if step.decision.move is Move.START and step.earlier and step.before.author is None:
        return f"the version was tried before ({step.earlier}), and nobody asked for it again"
    return None


def _only_moves_move(step: Step) -> str | None:
    is_idle = not step.decision.moves_traffic
    return "this is no move, and leaves the routing as it is" if step.moves and is_idle else None


def _weights_are_of_the_plan(step: Step) -> str | None:
    if not step.moves:
        is_due = step.decision.move in {Move.START, Move.ADVANCE, Move.PROMOTE}
        planned = routing_of(step.after)
        return None if not is_due or planned.weights == step.target.weights else f"the plan is {planned}"
    if step.target.is_open and not step.seen.is_open:
        return "the endpoint is closed, and only a person opens it"
    planned = replace(routing_of(step.after), is_open=step.target.is_open)
    return None if step.target == planned else f"the plan is {planned}"


def _one_step_at_a_time(step: Step) -> str | None:
    before, number, climbed = step.before, step.after.step, step.after.step - step.before.step
    match step.decision.move:
        case Move.START:
            is_fine = before.step == 0 and (
                climbed == 1 or (before.is_revert and number == before.policy.last_weight_step)
            )
        case Move.ADVANCE:
            is_fine = climbed == 1 or (climbed > 1 and step.author is None and _may_climb(before, number))
        case Move.STEP_BACK:
            is_fine = before.weight == 100 and number == before.step_below_all and not step.after.phase.is_final
        case Move.PROMOTE:
            is_fine = climbed == 0 and (before.is_on_last_step or (before.is_stable_gone and step.author is not None))
        case _:
            is_fine = climbed <= 0 and (step.after.phase is not Phase.PROMOTED or before.phase is Phase.PROMOTED)
    return None if is_fine else f"it goes from step {before.step} to {number} ({step.after.phase})"


def _may_climb(before: Rollout, number: int) -> bool:
    """Whether automatic steps lead there, past none that waits for a person and no further than the soak."""
    between = before.policy.steps[before.step : number - 1]
    is_free = not any(isinstance(each, ApprovalStep) for each in between)
    return before.policy.automatic is not None and is_free and before.policy.weight_at(number) <= SOAK


def _up_only_with_a_reason(step: Step) -> str | None:
    if step.author is not None or step.decision.move is Move.START:
        return None
    if step.decision.move in {Move.ADVANCE, Move.PROMOTE}:
        return None if _is_proved(step) else "nobody asked for it, and nothing proves it"
    if step.raises and step.decision.move is not Move.RESTORE:
        return "the canary would get more, and nobody asked for it"
    return None


def _approved_by_enough(step: Step) -> str | None:
    """No answer is never a yes, and one person is never two."""
    before, asked = step.before, step.before.present_step
    leaves = step.decision.move in {Move.ADVANCE, Move.PROMOTE}
    if not leaves or not before.needs_approvals or not isinstance(asked, ApprovalStep):
        return None
    names = [each.by for each in step.decision.approvals]
    if asked.not_author and before.author and any(is_author(before.author, name) for name in names):
        return "who asked for it approved it"
    people = {folded(name) for name in names}
    return None if len(people) >= asked.count else f"{len(people)} of {asked.count} approved"


def _is_proved(step: Step) -> bool:
    before, analysis = step.before, step.analysis
    if analysis is None or analysis.verdict in NO_PROOF or before.waits_for_approval or before.is_stable_gone:
        return False
    if before.phase is not Phase.PROGRESSING or analysis.suspicion is not None:
        return False
    if step_proof(before, analysis) is not None:
        return True
    is_automatic = before.policy.automatic is not None
    may_be_lenient = before.policy.on_no_evidence is OnNoEvidence.ADVANCE_IF_NOT_GROSS or (
        is_automatic and before.weight < SOAK
    )
    is_lenient = may_be_lenient and analysis.is_not_gross and not before.step_backs
    is_climbing = is_automatic and step.after.weight <= SOAK and is_quiet(analysis)
    return is_lenient or (is_climbing and step.decision.move is Move.ADVANCE)


def _back_is_never_up(step: Step) -> str | None:
    if step.after.phase in BACK and step.raises and step.target.is_open:
        return "it goes back, and the canary would get more"
    return None


def _a_group_moves_together(step: Step) -> str | None:
    before, move = step.before, step.decision.move
    is_for_all = move in {Move.START, Move.ADVANCE} or (move is Move.PROMOTE and not before.is_stable_gone)
    if step.group is None or not is_for_all or not takes_part(before):
        return None
    for other in step.group.fellows:
        who = f"agent {other.agent}, which moves with it,"
        if other.in_group.run != before.in_group.run:
            return f"{who} has not joined it"
        if other.phase.is_final and other.phase is not Phase.PROMOTED:
            return f"{who} has ended: it is {other.phase}"
        if not other.phase.is_final and other.step < before.step:
            return f"{who} is at step {other.step} only"
    return "nobody of its group starts with it" if move is Move.START and not step.group.fellows else None


LAWS: tuple[Callable[[Step], str | None], ...] = (
    _an_end_is_an_end,
    _what_never_began_moves_nothing,
    _only_a_person_tries_again,
    _only_moves_move,
    _weights_are_of_the_plan,
    _one_step_at_a_time,
    _up_only_with_a_reason,
    _approved_by_enough,
    _back_is_never_up,
    _a_group_moves_together,
)
