"""Which of an agent's unfinished rollouts is the current one, and what becomes of those behind it.

At most one rollout of an agent has left ``pending``. All others are queued: nothing of the cloud is read for them and
nothing is moved.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from foundry_rollouts.core.model.rollout import Phase, Rollout

QUEUED = "the queue: an earlier rollout of this agent has not ended"

#: The ends that hold the queue when a person brought them about.
HOLDING = frozenset({Phase.ROLLED_BACK, Phase.DISABLED, Phase.ABORTED})


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """The place of an unfinished rollout in its queue; the lowest is the current one.

    A return to the version that was stable just before goes first, for it is asked for in trouble; what waits for a
    person since an abort lets others pass.
    """

    is_queued: bool
    is_trial: bool
    is_held: bool
    created_at: datetime
    id: str


def place_of(rollout: Rollout) -> Place:
    return Place(not rollout.step, not rollout.is_revert, rollout.is_held, rollout.created_at, rollout.id)


def in_hand(unfinished: Iterable[Rollout]) -> Rollout | None:
    """Return the rollout that commands, pages and metrics mean; None when none is unfinished."""
    return min(unfinished, key=place_of, default=None)


def holds_queue(ended: Rollout) -> bool:
    """Whether the end of ``ended`` keeps the queue from going on by itself: a person aborted it."""
    return ended.ended_by is not None and ended.phase in HOLDING


def is_to_be_held(queued: Rollout) -> bool:
    """Whether a queued rollout waits for a person after an abort; a return is what that person asked for."""
    return queued.phase is Phase.PENDING and not queued.step and not queued.is_revert


def held(queued: Rollout, ended: Rollout, now: datetime) -> Rollout:
    """Return ``queued`` as it waits for a person after the abort of ``ended``."""
    because = f"{ended.ended_by} aborted version {ended.canary} before it; it waits until a person resumes it"
    return replace(
        queued,
        phase=Phase.PAUSED,
        is_held=True,
        paused_at=now,
        because=because,
        waiting_for=f"a person: resume or abort, since {ended.ended_by} aborted version {ended.canary}",
        generation=queued.generation + 1,
        event_count=queued.event_count + 1,
    )
