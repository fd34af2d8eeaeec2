"""What a rollout does next, and why: one value, whatever the move."""

from dataclasses import dataclass
from enum import StrEnum

from foundry_rollouts.core.model.approval import Approval
from foundry_rollouts.core.model.rollout import Phase


class Move(StrEnum):
    """The moves that a rollout can make, by the word that metrics and replays show.

    Each knows what the history calls it, in which phase it ends the rollout, and what it may do to the traffic.
    """

    event: str | None  #: The kind of the event that records it; None: a wait, recorded only where something begins.
    ends_in: Phase | None  #: The phase in which it leaves the rollout for good; None: the rollout goes on.
    moves_traffic: bool  #: Whether it may change the routing of a rollout that has begun.
    is_retreat: bool  #: Whether it takes the canary's traffic for good: it is repeated until it is done.

    def __new__(
        cls,
        word: str,
        event: str | None = None,
        ends_in: Phase | None = None,
        moves_traffic: bool = False,
        is_retreat: bool = False,
    ) -> "Move":
        move = str.__new__(cls, word)
        move._value_ = word
        move.event, move.ends_in = event, ends_in
        move.moves_traffic, move.is_retreat = moves_traffic, is_retreat
        return move

    HOLD = "hold"
    START = "start", "rollout.started", None, True
    ADVANCE = "advance", "rollout.advanced", None, True
    PROMOTE = "promote", "rollout.promoted", Phase.PROMOTED, True
    ROLL_BACK = "rollback", "rollout.rolled_back", Phase.ROLLED_BACK, True, True
    DISABLE = "disable", "rollout.disabled", Phase.DISABLED, True, True
    STEP_BACK = "step-back", "rollout.stepped_back", None, True
    PAUSE = "pause", "rollout.paused"
    RESUME = "resume", "rollout.resumed", None, True
    RESTORE = "restore", "rollout.restored", None, True
    SUPERSEDE = "supersede", "rollout.superseded", Phase.SUPERSEDED, False, True
    FAIL = "fail", "rollout.failed", Phase.FAILED, True, True
    ABORT = "abort", "rollout.aborted", Phase.ABORTED
    DECLINE = "decline", "rollout.declined"
    APPROVE = "approve", "rollout.approved"
    VOID = "void", "rollout.approval_voided"


#: What stands in the kind of an event that says what would have been done, as ``rollout.would_have_advanced``.
WOULD_HAVE = ".would_have_"


@dataclass(frozen=True, slots=True)
class Decision:
    """One move with its reason, and what else belongs to it; the other fields are empty where they mean nothing.

    A start or an advance takes the next step, or the higher one that ``step`` names; a step back takes the lower one
    that it names. A restore is contested unless what differs is our own. To supersede leaves the routing as it is, or
    goes back to the stable version for a newer one to begin from.
    """

    move: Move
    because: str
    waiting_for: str | None = None  #: What would end a wait.
    author: str | None = None  #: The person who asked for it; None: the controller's own.
    step: int | None = None
    is_contested: bool = False
    goes_back: bool = False
    approvals: tuple[Approval, ...] = ()  #: Those that the present step has from now on, or that let it go on.
    ended_by: str | None = None  #: What ends it as a person would, where none does.
    ended_with: str | None = None  #: The rollout of its group with which it ends.

    @property
    def moves_traffic(self) -> bool:
        """Whether it may change the routing of a rollout that has begun."""
        return self.move.moves_traffic or self.goes_back


def move_recorded_as(kind: str) -> Move:
    """Return the move that the history calls ``kind``, also where it was only observed; a wait where none does."""
    kind = kind.replace(WOULD_HAVE, ".")
    return next((move for move in Move if move.event == kind), Move.HOLD)
