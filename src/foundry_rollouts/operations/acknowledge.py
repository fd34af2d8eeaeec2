"""Acknowledging that a rollout ended badly: until somebody does, it stays on top."""

from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.model.acknowledgement import BAD_ENDS, Acknowledgement, event_of
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.operations.lists import one_rollout_view
from foundry_rollouts.operations.views import RolloutView
from foundry_rollouts.ports import Store


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A request to note that somebody knows; ``generation`` None: whatever it is."""

    rollout: str
    author: str
    generation: int | None = None
    reason: str | None = None


async def acknowledge(store: Store, wanted: Acknowledge, now: datetime) -> RolloutView:
    """Note that ``wanted.author`` knows how the rollout ended, and return it; said again, it changes nothing.

    Raises NotFoundError for an unknown rollout, ConflictError for one that did not end badly or stands at another
    generation.
    """
    rollout = await store.rollout(wanted.rollout)
    if rollout.phase not in BAD_ENDS:
        raise ConflictError(
            f"rollout {rollout.id} is {rollout.phase}: there is nothing to acknowledge but one that was rolled back,"
            " disabled the agent, or failed"
        )
    if wanted.generation not in {None, rollout.generation}:
        raise ConflictError(
            f"rollout {rollout.id} is at generation {rollout.generation}, not {wanted.generation}: read it again"
        )
    known = Acknowledgement(wanted.author, now, wanted.reason)
    first = await store.acknowledge(rollout.id, known, event_of(rollout, known))
    is_first = first == known
    return await one_rollout_view(store, rollout.id, now, None if is_first else _earlier(first))


def _earlier(first: Acknowledgement) -> str:
    return f"{first.by} acknowledged it already, at {first.at:%Y-%m-%d %H:%M:%S} UTC"
