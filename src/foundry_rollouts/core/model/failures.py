"""What a call's HTTP status says of the version that answered it, and of which kind a failure is.

A model behind an agent refuses calls for their rate or for a quota; hosting libraries turn that into HTTP 500. What the
answer or the log says of it is searched for the words of the model services and their clients.
"""

import re
from enum import StrEnum

from foundry_rollouts.errors import OUR_OWN_STATUSES

#: The cloud's words for "not warm yet": no version answered, it was not ready or too slow (424, and the gateways').
COLD = frozenset({408, 424, 502, 504})

#: The cause of a call that failed because the agent's own model refused it for its rate or quota.
MODEL_LIMIT = "model rate limit"
_LIMIT_WORDS = re.compile(
    r"rate_?limit_?(?:error|exceeded|reached)|too_?many_?requests|insufficient_?quota|quota ?(?:exceeded|exhausted)"
    r"|\b429 Too Many Requests|\bError code: 429\b|exceeded (?:the |your )?(?:token |call |request )?rate limit"
    r"|exceed(?:ed|s)? (?:the |your )?(?:current )?quota|quota (?:was|is|has been) exceeded",
    re.IGNORECASE,
)
#: One of them stands in each such text; to find none is quick.
_PARTS_OF_LIMITS = ("limit", "quota", "requests", "429")

_STATUS = re.compile(r"^HTTP (4\d\d)\b")


class ErrorKind(StrEnum):
    """A kind of failure that is judged beside the errors, and that a policy may leave out."""

    CLIENT_ERROR = "client-error"  #: Refused with 4xx as the caller's mistake.
    RATE_LIMITED = "rate-limited"  #: The agent's own model refused it for its rate or its quota.


def cause_of(status: int) -> str | None:
    """Return why a call that ended with ``status`` failed; None: it did well, or the status is no word about it."""
    return f"HTTP {status}" if status >= 400 and status not in OUR_OWN_STATUSES else None


def names_model_limit(text: str) -> bool:
    """Whether ``text``, a log line or the error of an answer, says that a model refused a call for rate or quota."""
    if text.isascii():  # Other letters have more than two cases.
        small = text.lower()
        if not any(part in small for part in _PARTS_OF_LIMITS):
            return False
    return _LIMIT_WORDS.search(text) is not None


def kind_of(cause: str | None) -> ErrorKind | None:
    """Return the kind of the failure that ``cause`` names; None for a plain error, and for no failure."""
    if cause is not None and cause.startswith(MODEL_LIMIT):
        return ErrorKind.RATE_LIMITED
    found = _STATUS.match(cause or "")
    if found is None or int(found[1]) in OUR_OWN_STATUSES | COLD:
        return None
    return ErrorKind.CLIENT_ERROR
