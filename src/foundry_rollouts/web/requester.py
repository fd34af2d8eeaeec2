"""What every command has: who asks, and the key under which it is asked only once."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from foundry_rollouts.core.model.access import Person
from foundry_rollouts.web.access import Who
from foundry_rollouts.web.auditing import Noted, asked_of
from foundry_rollouts.web.schemas import Key


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and under which idempotency key."""

    who: Person
    key: str | None
    asked: Noted  #: What the audit log will say.

    def author(
        self, said: str | None, reason: str | None, generation: int | None = None, subject: str | None = None
    ) -> str:
        """Return the author to record, and note for the audit log what is asked."""
        self.asked.author = self.who.author(said)
        self.asked.reason, self.asked.generation = reason, generation
        self.asked.subject = subject or self.asked.subject
        return self.asked.author


def _asking(request: Request, who: Who, key: Key = None) -> Asking:
    return Asking(who, key, asked_of(request))


By = Annotated[Asking, Depends(_asking)]
