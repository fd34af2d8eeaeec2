"""Under ``mode: observe`` everything is judged and nothing is moved.

A rollout that is observed goes through its steps as if the policy acted, on the same evidence and at the same instant.
What the endpoint serves is left to whoever sets it, so no weight there is drift. Only what is said of a step differs:
the history tells what would have been done, and at its end the rollout is ``observed``.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.policy import Policy
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import LATEST, Routing, routing_of
from foundry_rollouts.errors import BrokenLawError

if TYPE_CHECKING:
    from foundry_rollouts.core.deciding.decide import Situation

#: Ends that something is moved for.
MOVED = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK, Phase.DISABLED})
#: What the history calls a step that would have been taken, and the words for it, by move.
WORDS = {
    Move.START: ("rollout.would_have_started", "would have started"),
    Move.ADVANCE: ("rollout.would_have_advanced", "would have advanced"),
    Move.STEP_BACK: ("rollout.would_have_stepped_back", "would have stepped back"),
    Move.PROMOTE: ("rollout.would_have_promoted", "would have been promoted"),
    Move.ROLL_BACK: ("rollout.would_have_rolled_back", "would have been rolled back"),
    Move.DISABLE: ("rollout.would_have_disabled", "the endpoint would have been closed"),
}


def as_planned(rollout: Rollout, seen: "Situation") -> "Situation":
    """Return the situation as if the endpoint served what the plan says: another hand's weights are no drift."""
    routing = routing_of(rollout) if seen.routing is not None else None
    return replace(seen, routing=routing, drift=None, late_change=None, is_closed=False, unreadable=None)


def check_observed(rollout: Rollout, seen: Routing, target: Routing) -> None:
    """Raise BrokenLawError where an observed step would move anything."""
    if not rollout.policy.observes or seen != target:
        raise BrokenLawError(
            f"{rollout.agent}: policy {rollout.policy.name} observes, yet {seen} would become {target}."
            " Nothing was sent or recorded; please report it"
        )


def rollout_of(then: Rollout, decision: Decision) -> Rollout:
    """Return the rollout after an observed step: what would have moved something at its end ends as observed."""
    if then.phase not in MOVED:
        return then
    because = said(decision, decision.because)
    return replace(then, phase=Phase.OBSERVED, would_have=then.phase, because=because, stops=None)


def event_of(event: Event, decision: Decision, served: Routing) -> Event:
    """Return the event of an observed step, with the weights that the endpoint really has."""
    event = event.showing(served)
    if event.phase in MOVED:
        event = replace(event, phase=Phase.OBSERVED.value)
    if decision.move not in WORDS:
        return event
    return replace(event, kind=WORDS[decision.move][0], because=said(decision, event.because))


def said(decision: Decision, because: str) -> str:
    """Return the sentence of an observed step."""
    return f"{WORDS[decision.move][1]}, and nothing was moved (mode: observe): {because}"


def stable_after(rollout: Rollout, decision: Decision, served: Routing | None) -> str | None:
    """Return the version that users have once an observed rollout ended: the canary, where it serves and would have.

    Where the endpoint names other versions, users have those, whatever would have been done.
    """
    if decision.move is not Move.PROMOTE or served is None:
        return None
    is_served = served.weight(rollout.canary) == 100 or served.weight(LATEST) == 100
    return rollout.canary if is_served else None


def acting(rollout: Rollout, policy: Policy) -> Rollout:
    """Return an observed rollout as it begins again, from its first step, under a policy that acts by now."""
    return Rollout(
        id=rollout.id,
        agent=rollout.agent,
        canary=rollout.canary,
        stable=rollout.stable,
        policy=policy,
        created_at=rollout.created_at,
        generation=rollout.generation + 1,
        because=f"policy {policy.name} acts by now: version {rollout.canary} begins again from its first step",
        author=rollout.author,
        incarnation=rollout.incarnation,
        canary_created_at=rollout.canary_created_at,
        canary_content=rollout.canary_content,
        event_count=rollout.event_count + 1,
    )
