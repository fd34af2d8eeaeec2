"""The moves that a rollout can make."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hold:
    """Stay as it is; ``waiting_for`` says what would end the wait."""

    because: str
    waiting_for: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Leave ``pending``: take the first step, or the one that is named."""

    because: str
    author: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """Take the next step, or the higher one that is named."""

    because: str
    author: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    """The canary becomes the stable version; the rollout ends."""

    because: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class RollBack:
    """All new traffic to the stable version; the rollout ends."""

    because: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Disable:
    """Close the endpoint; the rollout ends."""

    because: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Keep the weights and wait for a person."""

    because: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a pause, with the weights of the plan."""

    because: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """Bring the routing back to the plan after drift; it is contested unless what differs is our own."""

    because: str
    author: str | None = None
    is_contested: bool = False


@dataclass(frozen=True, slots=True)
class Supersede:
    """End the rollout: something else decides about this agent now.

    The routing stays as it is, or goes back to the stable version for a newer one to begin from.
    """

    because: str
    author: str | None = None
    goes_back: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """End a rollout whose version cannot be tried: it, or its sandboxes, never became ready, or it was deleted."""

    because: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Abort:
    """End, at the word of a person, a rollout that has not begun; traffic never moved."""

    because: str
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Decline:
    """Answer a command that changes nothing as the rollout stands: the history says why."""

    because: str
    author: str | None = None


Decision = (
    Hold
    | Start
    | Advance
    | Promote
    | RollBack
    | Disable
    | Pause
    | Resume
    | Restore
    | Supersede
    | Fail
    | Abort
    | Decline
)

#: The past tense of each move, as the history tells it.
KINDS: dict[type, str] = {
    Start: "rollout.started",
    Advance: "rollout.advanced",
    Promote: "rollout.promoted",
    RollBack: "rollout.rolled_back",
    Disable: "rollout.disabled",
    Pause: "rollout.paused",
    Resume: "rollout.resumed",
    Restore: "rollout.restored",
    Supersede: "rollout.superseded",
    Fail: "rollout.failed",
    Abort: "rollout.aborted",
    Decline: "rollout.declined",
}
