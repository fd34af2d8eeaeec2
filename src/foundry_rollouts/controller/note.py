"""The fact that the history keeps of a move."""

from datetime import datetime

from foundry_rollouts.core.model.decision import KINDS, Decision, Hold
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import routing_of
from foundry_rollouts.ports import Event

#: A wait that the history tells about, for it is our trouble and not the canary's.
HELD = "rollout.held"
#: Harm is proved, and the policy leaves the answer to a person.
HARMED = "rollout.harmed"


#: The moves by what the history calls them.
MOVES = {kind: move for move, kind in KINDS.items()}


def move_of(event: Event | None) -> type:
    """Return what was decided when ``event`` was written."""
    return MOVES.get(event.kind, Hold) if event else Hold


def event_of(rollout: Rollout, then: Rollout, decision: Decision, now: datetime) -> Event:
    """Return the event of a move from ``rollout`` to ``then``; its id is made of what it is, so it is written once."""
    return Event(
        id=f"{rollout.id}:{rollout.event_count + 1}",
        at=now,
        kind=KINDS.get(type(decision), HELD),
        agent=rollout.agent,
        because=decision.because,
        rollout=rollout.id,
        step=then.step or None,
        weights=dict(routing_of(then).weights),
        author=getattr(decision, "author", None),
    )
