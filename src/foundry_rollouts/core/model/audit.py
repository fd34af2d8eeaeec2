"""The audit log: who asked for what, from where, why, and what came of it; refused requests too."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from foundry_rollouts.core.model.access import Role, Way


class AuditOutcome(StrEnum):
    """What came of a request."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  #: It may not be, or makes no sense: nothing was changed.
    FAILED = "failed"  #: The service could not do it, or does not know whether it was done.


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request that would change something."""

    id: str
    at: datetime
    author: str  #: As the history names them; ``unknown`` when nobody was recognised.
    role: Role | None
    way: Way | None
    address: str  #: Where the request came from.
    action: str  #: As ``rollout.abort``, ``token.create`` or ``sign-in``.
    subject: str | None  #: The id of the rollout or the token, or the name of the agent.
    reason: str | None
    generation: int | None  #: Of the rollout, as its author saw it.
    outcome: AuditOutcome
    because: str | None  #: Why it was refused or failed.


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries to list, newest first; ``before`` is the id after which the page begins."""

    author: str | None = None
    action: str | None = None
    subject: str | None = None
    outcome: AuditOutcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: str | None = None  #: In the author, the subject, the reason or the answer.
    before: str | None = None
    limit: int = 50
