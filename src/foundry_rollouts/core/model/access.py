"""Who may do what: roles, the people who ask, and the tokens that they show."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from unicodedata import normalize

VIA = " via "  #: Between whom an author names and who they are.


class Role(StrEnum):
    """What a person may do; each of viewer, operator and admin may do all that the one before may."""

    CALLER = "caller"  #: May report how calls went, and nothing else.
    VIEWER = "viewer"  #: May read.
    OPERATOR = "operator"  #: May give commands, and report how calls went.
    ADMIN = "admin"  #: May manage tokens.

    def may(self, needed: "Role") -> bool:
        """Whether this role is enough where ``needed`` is asked for."""
        return needed in _ENOUGH[self]


_ENOUGH = {
    Role.CALLER: {Role.CALLER},
    Role.VIEWER: {Role.VIEWER},
    Role.OPERATOR: {Role.CALLER, Role.VIEWER, Role.OPERATOR},
    Role.ADMIN: set(Role),
}


class Way(StrEnum):
    """How a person came in."""

    LOOPBACK = "loopback"  #: From this machine, with nothing shown.
    TOKEN = "token"  # noqa: S105 - a way, not a secret
    ENTRA = "entra"
    SESSION = "session"  #: Signed in to the dashboard.
    DATABASE = "database"  #: On the command line, with the database's address.


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks."""

    name: str
    role: Role
    way: Way
    token: str | None = None  #: The id of the API token behind it.
    groups: tuple[str, ...] = ()  #: Groups and app roles of the identity provider, as it names them.

    def author(self, said: str | None) -> str:
        """Return the author to record for what this person asks: whom they name, never without who they are."""
        if said is None or said == self.name:
            return self.name
        return said if self.way is Way.LOOPBACK else f"{said}{VIA}{self.name}"

    def approver(self, said: str | None) -> str:
        """Return whose approval this person's is: their own; where nobody shows anything, as said."""
        return said or self.name if self.way is Way.LOOPBACK else self.name


def is_same_person(name: str, other: str) -> bool:
    """Whether two names are one person's: an identity provider may write the same name large or small."""
    return folded(name) == folded(other)


def is_author(author: str, name: str) -> bool:
    """Whether ``name`` is among those of ``author``: who asked, and in whose name they did."""
    return any(is_same_person(each, name) for each in (author, *author.split(VIA)))


def folded(name: str) -> str:
    """Return what is the same however somebody's name is written."""
    return normalize("NFKC", name).strip().casefold()


#: Who asks from this machine while no access control is wanted.
ANYBODY = Person("api", Role.ADMIN, Way.LOOPBACK)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is known of a token; its secret is shown once and kept nowhere."""

    id: str
    owner: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None  #: None: never.
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  #: To the minute.

    def refusal(self, now: datetime) -> str | None:
        """Return why the token opens nothing any more; None while it does."""
        if self.revoked_at is not None:
            return f"the token {self.id} of {self.owner} was revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return f"the token {self.id} of {self.owner} has expired"
        return None


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person who is signed in to the dashboard in one browser."""

    name: str
    role: Role
    way: Way  #: How they signed in.
    token: str | None  #: The id of the API token that they signed in with; its end is theirs.
    began_at: datetime
    used_at: datetime  #: To the minute.
    groups: tuple[str, ...] = ()  #: As the identity provider named them when the person signed in.

    def refusal(self, now: datetime, idle: timedelta, longest: timedelta) -> str | None:
        """Return why the person is signed in no more; None while they are."""
        if now - self.began_at >= longest:
            return f"you signed in more than {longest.total_seconds() / 3600:g} hours ago"
        if now - self.used_at >= idle:
            return f"this browser was not used for {idle.total_seconds() / 3600:g} hours"
        return None

    @property
    def person(self) -> Person:
        return Person(self.name, self.role, Way.SESSION, self.token, self.groups)
