"""What becomes of a rollout while the endpoint has rules that are not known here: nothing, and that is said.

To go back would replace rules that somebody set up and that we do not understand, so even harm only cries for a person.
"""

from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.rollout import Phase, Rollout

LEGIBLE = "a routing that can be read"
LEGIBLE_TO_GO_BACK = f"{LEGIBLE}, so that the canary can be rolled back"


def leave_alone(rollout: Rollout, analysis: Analysis | None, why: str) -> Decision:
    """Change nothing, whatever is proved or asked: commands wait until the routing can be read."""
    if analysis is not None and analysis.verdict is Verdict.FAIL:
        because = f"{analysis.because}; but {why}. Nothing is changed by itself: correct the rules by hand"
        return Decision(Move.HOLD, because, LEGIBLE_TO_GO_BACK)
    if rollout.phase is Phase.PAUSED:
        return Decision(Move.HOLD, rollout.because, LEGIBLE)
    return Decision(Move.HOLD, f"{why}. Nothing is changed until then: correct the rules by hand", LEGIBLE)


def is_news(rollout: Rollout, decision: Decision) -> bool:
    """Whether the history does not tell yet that a rollout is left alone, for the reason that ``decision`` gives."""
    is_said = decision.because != rollout.because
    return (
        is_said
        and decision.waiting_for in {LEGIBLE, LEGIBLE_TO_GO_BACK}
        and decision.waiting_for != rollout.waiting_for
    )
