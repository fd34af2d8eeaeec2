"""What every command has: who asks, and the key under which it is asked only once."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from foundry_rollouts.core.model.access import Person
from foundry_rollouts.web.access import Who
from foundry_rollouts.web.schemas import Key


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and under which idempotency key."""

    who: Person
    key: str | None


def _asking(who: Who, key: Key = None) -> Asking:
    return Asking(who, key)


By = Annotated[Asking, Depends(_asking)]
