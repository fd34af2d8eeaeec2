"""What is asked of the memory of stops and holds, and of those who read it for all agents at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from foundry_rollouts.core.model.brake import Brake, BrakeKind, Scope


class BrakeBook(Protocol):
    """Stops of the line and holds of agents, with their history. Every change rings at every replica."""

    async def brakes(self) -> Sequence[Brake]:
        """Return those that nobody ended yet, the oldest first; the time of some may be over."""

    async def ended_brakes(self, kind: BrakeKind, limit: int) -> Sequence[Brake]:
        """Return those of a kind that ended last, the newest first."""

    async def put_on(self, brake: Brake) -> Brake:
        """Put ``brake`` on, with its event; what the same author put on there for the same reason gets its end.

        Raises ConflictError where the agent is held at another version.
        """

    async def take_off(self, scope: Scope, at: datetime, author: str, reason: str | None) -> Sequence[Brake]:
        """End all that stand on ``scope``, each with its event, and return them as they stood; none: nothing stood."""

    async def expire_brakes(self, now: datetime) -> Sequence[Brake]:
        """End those whose time is over, each with its event, and return them: one replica finds each."""


class Brakes(Protocol):
    """What stands, as last read: one reading is for all agents."""

    @property
    def last(self) -> Sequence[Brake]:
        """What stood when it was read last."""

    async def standing(self, now: datetime) -> Sequence[Brake]:
        """Return what stands, read within the last second where the database answers; else what stood before.

        Raises StoreError where it was never read.
        """

    async def refresh(self, now: datetime) -> None:
        """Read it now. Raises StoreError."""

    def forget(self) -> None:
        """Somebody changed it: who asks next waits for a new reading."""
