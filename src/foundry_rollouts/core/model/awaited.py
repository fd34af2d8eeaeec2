"""Whom or what a rollout waits for that does not come by itself, or is late."""

from datetime import datetime
from enum import StrEnum

from foundry_rollouts.core.model.rollout import Phase, Rollout


class Waiting(StrEnum):
    """What a rollout waits for that does not come by itself, or is late."""

    APPROVAL = "approval"
    PERSON = "person"
    PROOF = "proof"  #: The step's ``max`` is over, and it is not proved.


def waits_for(rollout: Rollout, now: datetime) -> Waiting | None:
    """Return what somebody should know of; a rollout that goes on by itself in time waits for nothing."""
    if rollout.phase.is_final:
        return None
    if rollout.phase is Phase.PAUSED or rollout.is_held:
        return Waiting.PERSON
    if rollout.waits_for_approval:
        return Waiting.APPROVAL
    return Waiting.PROOF if rollout.is_step_overdue(now) else None
