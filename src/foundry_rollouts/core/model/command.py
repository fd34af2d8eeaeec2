"""What a person asks of a rollout; the next tick carries it out."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verb(StrEnum):
    """The commands, the most urgent first; ``retry`` starts anew and is no command to a running rollout."""

    ABORT = "abort"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    APPROVE = "approve"

    @property
    def effect(self) -> str:
        """Say what it does, as the help and the API do."""
        return _EFFECTS[self]

    @property
    def urgency(self) -> int:
        """Return the place in the order of precedence; 0 is obeyed first."""
        return list(Verb).index(self)


_EFFECTS = {
    Verb.ABORT: "Send all new sessions to the stable version and end the rollout",
    Verb.PAUSE: "Keep the weights; harm still rolls back",
    Verb.RESUME: "Continue after a pause",
    Verb.PROMOTE: "Take the next step without proof",
    Verb.APPROVE: "Approve the step that waits for a person",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A request with its author, its reason and the generation that the author saw."""

    id: str
    rollout: str
    verb: Verb
    generation: int
    at: datetime
    author: str
    reason: str | None = None
    idempotency_key: str | None = None
    about: str | None = None  #: The fingerprint of what is approved; None: it does not matter.

    @property
    def because(self) -> str:
        return f"{self.author} asked to {self.verb}" + (f": {self.reason}" if self.reason else "")
