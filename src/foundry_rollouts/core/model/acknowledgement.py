"""That somebody knows how a rollout ended: until then, one that ended badly stays on top."""

from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.model.event import Event, of_rollout
from foundry_rollouts.core.model.rollout import Phase, Rollout

#: The ends that somebody has to know of: users do not have what was released.
BAD_ENDS = frozenset({Phase.ROLLED_BACK, Phase.DISABLED, Phase.FAILED})


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who said that they know, when, and what they make of it."""

    by: str
    at: datetime
    reason: str | None = None


def event_of(rollout: Rollout, known: Acknowledgement) -> Event:
    """Return the event of an acknowledgement: one for a rollout, however often it is said."""
    because = f"{known.by} acknowledged it" + (f": {known.reason}" if known.reason else "")
    event = of_rollout(rollout, "rollout.acknowledged", because, known.at, "acknowledged")
    return event.by(known.by)


def lesson(rollout: Rollout) -> str:
    """Say what users have and what was released, of a rollout that ended badly, and why."""
    if rollout.phase is Phase.DISABLED:
        return f"users are refused, you released {rollout.canary}, because {rollout.because}"
    have = f"users have {rollout.stable}" if rollout.stable else "users have no version"
    return f"{have}, you released {rollout.canary}, because {rollout.because}"
