"""The fact that the history keeps of a move."""

from datetime import datetime

from foundry_rollouts.core.decision import KINDS, Decision
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.core.routing import routing_of
from foundry_rollouts.ports import Event

#: A wait that the history tells about, for it is our trouble and not the canary's.
HELD = "rollout.held"


def event_of(rollout: Rollout, then: Rollout, decision: Decision, now: datetime) -> Event:
    """Return the event of a move from ``rollout`` to ``then``; its id is made of what it is, so it is written once."""
    return Event(
        id=f"{rollout.id}:{rollout.events + 1}",
        at=now,
        kind=KINDS.get(type(decision), HELD),
        agent=rollout.agent,
        because=decision.because,
        rollout=rollout.id,
        step=then.step or None,
        weights=dict(routing_of(then).weights),
        author=getattr(decision, "author", None),
    )
