"""What is written down: the one room that puts a record together."""

from datetime import datetime
from typing import TypedDict, Unpack

from foundry_rollouts.core.deciding.decide import Situation
from foundry_rollouts.core.deciding.queue import holds_queue
from foundry_rollouts.core.deciding.transition import Transition
from foundry_rollouts.core.judging.evidence import Evidence
from foundry_rollouts.core.model.decision import Move
from foundry_rollouts.core.model.event import Event, of_creation
from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.measurement import Measurement
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.ports import Record

#: No weights of another hand stay.
NOTHING_KEPT = Routing(())


def record_of(
    step: Transition, seen: Situation, measurements: tuple[Measurement, ...] = (), stable: str | None = None
) -> Record:
    """Return all that a tick writes down of ``step``; ``stable`` is the agent's stable version from then on."""
    return Record(
        event=step.event,
        rollout=step.then,
        evidence=step.evidence,
        measurements=measurements,
        obeyed=tuple(command.id for command in step.answered),
        heard=tuple(command.id for command in seen.commands),
        due_at=step.due_at(seen),
        stable=stable,
        kept=NOTHING_KEPT if step.decision.move is Move.START else None,
        holds_queue=holds_queue(step.then),
    )


def record_of_rollout(
    rollout: Rollout,
    event: Event | None = None,
    *,
    due_at: datetime | None = None,
    evidence: Evidence | None = None,
    obeyed: tuple[str, ...] = (),
) -> Record:
    """Return what is written down of a rollout beside its decisions: what was found out, refused or stopped."""
    return Record(event=event, rollout=rollout, evidence=evidence, due_at=due_at, obeyed=obeyed)


def record_of_creation(rollout: Rollout) -> Record:
    """Return the beginning of a rollout, due at once."""
    return Record(created=rollout, event=of_creation(rollout), due_at=rollout.created_at)


class AgentFacts(TypedDict, total=False):
    """What may become known of an agent; what is left out stays as it is."""

    stable: str | None
    newest: str | None
    kept: Routing
    unreadable: str
    marks: Marks
    incarnation: int


def record_of_agent(event: Event | None = None, **facts: Unpack[AgentFacts]) -> Record:
    """Return what is written down of an agent."""
    return Record(event=event, **facts)
