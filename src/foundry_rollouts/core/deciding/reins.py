"""What may not move now: a freeze, hours, the stopped line, a hold, a full queue, the order of agents, a group.

Reins are asked at one place and of one kind of move: a start, and whatever raises the canary's weight. They never
concern a way back: rollback, abort, disable, stepping back, and the return to the version that was stable before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from foundry_rollouts.core.model.brake import Brake, BrakeKind
from foundry_rollouts.core.model.decision import Decision, Move
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.routing import Routing


class ReinKind(StrEnum):
    """What holds a rollout, by the word that the API and metrics show."""

    FREEZE = "freeze"
    HOURS = "hours"
    QUEUE = "queue"
    ORDER = "order"
    WAVE = "wave"
    LINE = "line"
    HOLD = "hold"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Rein:
    """One thing that keeps a rollout from going on: why, and what would end it."""

    kind: ReinKind
    because: str
    waiting_for: str
    is_usual: bool = False  #: A wait that is part of every rollout: shown, and left out of the history.


def reined(rollout: Rollout, decision: Decision, reins: Sequence[Rein], seen: Routing | None) -> Decision | None:
    """Return the wait that ``reins`` make of ``decision``; None where none concerns it."""
    reins = concerning(rollout, decision, reins, seen)
    if not reins:
        return None
    because = "; ".join(rein.because for rein in reins)
    waiting_for = "; ".join(rein.waiting_for for rein in reins)
    return Decision(Move.HOLD, f"{because}. Once that is over: {decision.because}", waiting_for)


def concerning(rollout: Rollout, decision: Decision, reins: Sequence[Rein], seen: Routing | None) -> Sequence[Rein]:
    """Return those of ``reins`` that a move waits for: a hold and a group keep it from its end, too."""
    if rollout.is_revert:
        return ()
    if decision.move is Move.PROMOTE:
        return [rein for rein in reins if rein.kind in {ReinKind.HOLD, ReinKind.GROUP}]
    return reins if _rises(rollout, decision, seen) else ()


def rein_of(brake: Brake) -> Rein:
    """Return what a brake keeps rollouts by."""
    kind = ReinKind.HOLD if brake.scope.kind is BrakeKind.HOLD else ReinKind.LINE
    return Rein(kind, brake.because, brake.waiting_for)


def _rises(rollout: Rollout, decision: Decision, seen: Routing | None) -> bool:
    """Whether a move gives the canary more than it has: a start, a step up, or weights that another hand lowered."""
    if decision.move in {Move.START, Move.ADVANCE}:
        return True
    is_back = decision.move in {Move.RESTORE, Move.RESUME} and rollout.step > 0 and seen is not None
    return is_back and seen is not None and rollout.weight > seen.weight(rollout.canary)


def with_reins(then: Rollout, by: Sequence[Rein], now: datetime) -> Rollout:
    """Return the rollout with what holds it, and its deadline standing meanwhile; empty: nothing holds it."""
    if by:
        unusual = _names(rein for rein in by if not rein.is_usual)
        return replace(then, held_by=_names(by), held_told=unusual, held_since=then.held_since or now)
    if then.held_since is None:
        return then
    stood = then.held_time + max(now - then.held_since, timedelta(0))
    return replace(then, held_by=None, held_told=None, held_since=None, held_time=stood)


def _names(reins: Iterable[Rein]) -> str | None:
    return ", ".join(dict.fromkeys(rein.kind.value for rein in reins)) or None
