"""Approvals: who is asked at a step, who gave one, and what exactly they approved."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from foundry_rollouts.core.model.access import Person, Role, Way, is_same_person
from foundry_rollouts.errors import UsageError

MOST_APPROVALS = 10


class OnTimeout(StrEnum):
    """What comes when nobody answered in time; never a yes."""

    HOLD = "hold"  #: It waits on.
    ROLLBACK = "rollback"
    ABORT = "abort"  #: As a person's abort: what is queued behind waits for a person.


@dataclass(frozen=True, slots=True)
class ApprovalStep:
    """A wait for people, at the weight reached so far."""

    approval: bool = True
    by: tuple[str, ...] = ()  #: Roles, groups or names, one of which must fit; empty: whoever may give commands.
    count: int = 1  #: So many different people.
    not_author: bool = False  #: Who asked for the rollout does not count.
    timeout: timedelta | None = None  #: None: it waits as long as the rollout may.
    then: OnTimeout = OnTimeout.HOLD

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_APPROVALS:
            raise UsageError(f"count {self.count}: write a whole number from 1 to {MOST_APPROVALS}")
        if self.timeout is not None and self.timeout <= timedelta(0):
            raise UsageError("timeout must be longer than nothing")
        if self.timeout is None and self.then is not OnTimeout.HOLD:
            raise UsageError(f"then: {self.then} never comes without a timeout")

    @property
    def is_guarded(self) -> bool:
        """Whether it matters who approves, or how many; without, any command of an operator is one."""
        return bool(self.by) or self.count > 1 or self.not_author


@dataclass(frozen=True, slots=True)
class Approval:
    """That somebody approved; ``of`` is the fingerprint of what they approved."""

    by: str
    at: datetime
    of: str


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody who is about to approve, by what they showed."""

    name: str
    role: Role
    groups: tuple[str, ...] = ()
    is_known: bool = True  #: False: they showed nothing, so that anybody may call themselves so.

    @classmethod
    def of(cls, person: Person, said: str | None = None) -> "Approver":
        """Return ``person`` as they approve: under their own name, whomever they name."""
        return cls(person.approver(said), person.role, person.groups, person.way is not Way.LOOPBACK)

    def fits(self, who: str) -> bool:
        """Whether ``who``, a role, a group or a name, means this person; a role means those who may do more, too."""
        if who in Role.__members__.values():
            return self.role.may(Role(who))
        return is_same_person(who, self.name) or who in self.groups
