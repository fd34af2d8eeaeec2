"""Every error, grouped by what the caller should do about it.

RolloutsError
├── UsageError            the request or the file is wrong: fix it, then ask again
│   ├── PolicyError       a policy file is wrong; the text names file, line and column
│   ├── NotFoundError     no such rollout, agent or version is known here
│   └── ConflictError     it is not as its author saw it: read it again
│       └── OnTrialError  the version has an unfinished rollout already: join it
├── AccessError           who asks may not: show another token
│   ├── UnknownPersonError    nothing was shown, or nothing that is valid
│   ├── NotAllowedError       the role is not enough
│   └── TooManyError          too much was asked in a short time: wait, then ask again
├── UnavailableError      something we depend on is away or refuses us: wait, then try again
│   ├── CloudError        the cloud answered with an error
│   │   └── ChangeError   ... to a change of an endpoint
│   └── StoreError        the database cannot be reached or written
├── DriftError            the cloud is not as we last confirmed
│   └── UnreadableError   its rules are not known here: change nothing
├── BrokenLawError        a step was about to do what no step may do: a fault of ours, nothing was done
└── LeaseLostError        stop at once: another replica owns this agent now
"""

from dataclasses import dataclass
from datetime import timedelta

#: A refused token, a missing right, throttling: our own trouble, and no word about what was called.
OUR_OWN_STATUSES = frozenset({401, 403, 429})
NOT_WHOLE = "not_whole"  #: Code of a call whose answer is not the JSON of its kind: cut, HTML, another object.


class RolloutsError(Exception):
    """The root: its text is one line that says what, why and what to do."""


class UsageError(RolloutsError):
    """The request is wrong as it stands; asking again changes nothing."""


class PolicyError(UsageError):
    """A policy file is wrong; each problem is a line ``file:line:column: what: how to fix``."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class NotFoundError(UsageError):
    """Nothing of that name is known here."""


class ConflictError(UsageError):
    """The rollout is not as the author of the command saw it."""


class OnTrialError(ConflictError):
    """The version has an unfinished rollout already."""


class AccessError(RolloutsError):
    """Who asks may not do that."""


class UnknownPersonError(AccessError):
    """Nobody is known: nothing was shown, or something that is not valid (any more)."""


class NotAllowedError(AccessError):
    """The role of the person is not enough."""


class TooManyError(AccessError):
    """Too many requests in a short time."""

    def __init__(self, text: str, retry_after: timedelta) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class UnavailableError(RolloutsError):
    """Something outside is away or refuses us; the same request may succeed later."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How the cloud refused: HTTP status, its error code, its text, and the request to name in a ticket."""

    status: int | None  #: None when no answer came at all, or none that can be read.
    code: str | None
    message: str
    request_id: str | None = None
    region: str | None = None
    response_id: str | None = None  #: Of a response that failed.

    @property
    def ids(self) -> str:
        """What a support ticket names, as far as it is known: ``request X, region Y, response Z``."""
        named = (("request", self.request_id), ("region", self.region), ("response", self.response_id))
        return ", ".join(f"{name} {value}" for name, value in named if value)


class CloudError(UnavailableError):
    """The cloud answered with an error, or did not answer; perhaps it said when to come back."""

    retry_after: timedelta | None = None

    def __init__(self, operation: str, refusal: Refusal) -> None:
        status = "no answer" if refusal.status is None else f"HTTP {refusal.status}"
        code = f" {refusal.code}" if refusal.code else ""
        ticket = f" ({refusal.ids})" if refusal.ids else ""
        is_half = refusal.code == NOT_WHOLE
        what = f"{operation} {refusal.message}" if is_half else f"{operation}: {status}{code}: {refusal.message}"
        super().__init__(what + ticket)
        self.operation = operation
        self.refusal = refusal

    @property
    def is_missing(self) -> bool:
        return self.refusal.status == 404

    @property
    def is_ours(self) -> bool:
        """Whether the fault is on our side: a refused token, throttling, a lost network."""
        return self.refusal.status is None or self.refusal.status in OUR_OWN_STATUSES


class ChangeError(CloudError):
    """The cloud does not take a change of an endpoint."""

    def __init__(self, error: CloudError) -> None:
        super().__init__(error.operation, error.refusal)
        self.retry_after = error.retry_after


class StoreError(UnavailableError):
    """The database cannot be reached or written."""


class SchemaError(StoreError):
    """The database is there, and its schema is not ours."""


class DriftError(RolloutsError):
    """The cloud is not as we last confirmed."""


class UnreadableError(DriftError):
    """The routing holds rules that are not known here: nothing of that agent is changed."""


class LeaseLostError(RolloutsError):
    """Stop at once: another replica owns this agent now."""


class BrokenLawError(RolloutsError):
    """A step was about to do what no step may do; nothing of it was sent or recorded."""
