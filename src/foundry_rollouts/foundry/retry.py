"""Which refusals may be tried again, and when.

It depends on what a second request would mean, so each call names its ``Repeat``. Waits grow and are
jittered; a ``Retry-After`` is obeyed when it fits into the budget, otherwise the refusal goes to the
caller at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TypeVar

import stamina

from foundry_rollouts.errors import CloudError, Refusal

T = TypeVar("T")

CONNECTION = "connection"  #: Code of a call that never reached the cloud.
TIMEOUT = "timeout"  #: Code of a call whose answer did not come in time.
DROPPED = "dropped"  #: Code of a call whose connection broke before the answer was complete.

NO_CREDENTIAL = "credential_unavailable"  #: Code of a call that was not made for want of a token.

_FINAL = frozenset({NO_CREDENTIAL, "AgentVersionProvisioningFailed"})
#: Statuses of trouble that passes; None is a call without an answer.
TRANSIENT = frozenset({None, 408, 429, 500, 502, 503, 504})
_CRASHED = "session_creation_failed"  #: The entry point ended; the next try would see the same.


class Repeat(StrEnum):
    """What it would mean to send the same request twice."""

    SAFE = "safe"  #: The same end: reads, and writes that state how things shall be.
    DEDUPLICATED = "deduplicated"  #: The cloud knows an unchanged definition and returns the version it has.
    ONCE = "once"  #: A second thing would come to be: drafts, sessions without a name of ours.
    INVOCATION = "invocation"  #: A call of an agent, by somebody who accepts that it may run twice.
    NEVER = "never"  #: Whatever comes is the answer.


class Reaction(StrEnum):
    """What to do about a refusal."""

    GIVE_UP = "give up"
    AGAIN = "again"
    SLOWLY = "slowly"  #: Again, after pauses of 10 to 30 seconds: a sandbox is waking.
    ONCE_MORE = "once more"


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """How often and how long to try: waits double from ``first`` to ``most``, none goes beyond ``total``."""

    attempts: int = 4
    total: timedelta = timedelta(seconds=20)
    first: timedelta = timedelta(seconds=0.5)
    most: timedelta = timedelta(seconds=8)
    jitter: timedelta = timedelta(seconds=0.5)
    slow: timedelta = timedelta(seconds=10)
    obeys: timedelta | None = None  #: How long a pause the cloud may ask for; None: whatever fits into ``total``.


DEFAULT = RetryBudget()
PATIENT = RetryBudget(attempts=6, total=timedelta(minutes=3), first=timedelta(seconds=1))


class RefusedError(CloudError):
    """A refusal that says, perhaps, when to come back."""

    def __init__(self, operation: str, refusal: Refusal, retry_after: timedelta | None = None) -> None:
        super().__init__(operation, refusal)
        self.retry_after = retry_after


def reaction(repeat: Repeat, refusal: Refusal) -> Reaction:
    """Return what to do about ``refusal`` when a second request would mean ``repeat``."""
    if repeat is Repeat.NEVER or refusal.code in _FINAL:
        return Reaction.GIVE_UP
    if repeat is Repeat.INVOCATION:
        return _reaction_to_invocation(refusal)
    if repeat is Repeat.ONCE:
        never_arrived = refusal.status == 429 or refusal.code == CONNECTION
        return Reaction.AGAIN if never_arrived else Reaction.GIVE_UP
    passes = refusal.status in TRANSIENT and refusal.code != _CRASHED
    return Reaction.AGAIN if passes else Reaction.GIVE_UP


def _reaction_to_invocation(refusal: Refusal) -> Reaction:
    match refusal.status:
        case 408 | 429 | 502 | 504:
            return Reaction.AGAIN
        case 424:
            return Reaction.SLOWLY
        case 400 if "still being provisioned" in refusal.message:
            return Reaction.SLOWLY
        case _ if refusal.code == "AgentVersionNotReady":
            return Reaction.SLOWLY
        case 500:
            return Reaction.ONCE_MORE
        case None if refusal.code == CONNECTION:
            return Reaction.AGAIN
        case _:
            return Reaction.GIVE_UP


def may_be_done_later(refusal: Refusal) -> bool:
    """Whether what was refused so may have been done all the same, or be done later."""
    if refusal.status is None:
        return refusal.code not in {CONNECTION, NO_CREDENTIAL}
    return refusal.status == 408 or refusal.status >= 500


async def retrying(attempt: Callable[[], Awaitable[T]], repeat: Repeat, budget: RetryBudget) -> T:
    """Await ``attempt()`` until it succeeds, is refused for good, or ``budget`` is spent (CloudError)."""
    begun = asyncio.get_running_loop().time()
    try:
        return await attempt()
    except CloudError as error:
        failed: CloudError | None = error

    async def again() -> T:
        nonlocal failed
        if failed is not None:  # The loop, which takes its time, begins where something went wrong.
            first, failed = failed, None
            raise first
        return await attempt()

    patience = _Patience(repeat, budget, begun)
    context = stamina.retry_context(
        on=patience.wait_after,
        attempts=budget.attempts,
        timeout=None,  # the hook keeps the limit: the library obeys a Retry-After beyond its own
        wait_initial=budget.first,
        wait_max=budget.most,
        wait_jitter=budget.jitter,
    )
    async for trial in context:
        with trial:
            return await again()
    raise AssertionError("the last failure is raised by the loop")


class _Patience:
    """Decides after each failure whether to wait, and how long."""

    def __init__(self, repeat: Repeat, budget: RetryBudget, begun: float) -> None:
        self._repeat = repeat
        self._budget = budget
        self._begun = begun
        self._failures = 0

    def wait_after(self, error: Exception) -> bool | timedelta:
        """Return False to give up, True for the usual wait, or the span to wait."""
        if not isinstance(error, CloudError):
            return False
        self._failures += 1
        todo = reaction(self._repeat, error.refusal)
        if todo is Reaction.GIVE_UP or (todo is Reaction.ONCE_MORE and self._failures > 1):
            return False
        pause = getattr(error, "retry_after", None)
        if pause is not None and self._budget.obeys is not None:
            pause = min(pause, self._budget.obeys)
        if pause is None and todo is Reaction.SLOWLY:
            pause = self._budget.slow * min(self._failures, 3)
        if pause is None:
            return self._remaining() > timedelta(0)
        return pause if pause < self._remaining() else False

    def _remaining(self) -> timedelta:
        return self._budget.total - timedelta(seconds=asyncio.get_running_loop().time() - self._begun)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Read ``Retry-After`` (seconds or a date) or ``retry-after-ms``; None when neither can be read.

    A date is compared with the answer's own ``Date``, so that a wrong clock on this side does no harm.
    """
    seconds = _number(headers.get("retry-after"))
    if seconds is None:
        milliseconds = _number(headers.get("retry-after-ms"))
        seconds = milliseconds / 1000 if milliseconds is not None else _until(headers)
    return None if seconds is None else timedelta(seconds=max(0.0, min(seconds, 86_400.0)))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value == value else None  # noqa: PLR0124 - only "not a number" differs from itself


def _until(headers: Mapping[str, str]) -> float | None:
    try:
        then = parsedate_to_datetime(headers["retry-after"])
        return (then - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
