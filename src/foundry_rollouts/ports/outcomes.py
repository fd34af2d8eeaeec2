"""What becomes of calls that callers report, and the allowance of a version that warms up."""

from datetime import datetime, timedelta
from enum import StrEnum

from foundry_rollouts.core.model.failures import COLD

#: A version that was not ready yet may take this long before it counts as failing.
STARTUP_BUDGET = timedelta(minutes=2)
#: The causes of a version that may still be warming up.
WARMING = frozenset(f"HTTP {status}" for status in COLD)


class Result(StrEnum):
    """What becomes of a report; the metric of outcomes has a series for each."""

    COUNTED = "counted"
    DUPLICATE = "duplicate"  #: Reported before.
    CLOCK_AHEAD = "clock_ahead"
    CLOCK_BEHIND = "clock_behind"  #: Before the present step, as all that the caller reports is late.
    EARLIER_STEP = "earlier_step"
    TOO_OLD = "too_old"
    INCOMPLETE = "incomplete"  #: Neither ok nor status.
    CALLERS_OWN = "callers_own"  #: No fault of the version.
    UNKNOWN_AGENT = "unknown_agent"
    UNKNOWN_VERSION = "unknown_version"  #: Neither the stable version nor the canary.
    NO_POLICY = "no_policy"
    NO_SOURCE = "no_source"  #: The policy does not name outcomes.
    NO_ROLLOUT = "no_rollout"
    WARMING_UP = "warming_up"
    OLD_SESSION = "old_session"  #: The session is older than the rollout.


#: Reports of which nothing is written down, so that they may be sent again when they are right.
REFUSED = frozenset(
    {
        Result.CLOCK_AHEAD,
        Result.TOO_OLD,
        Result.INCOMPLETE,
        Result.CALLERS_OWN,
        Result.UNKNOWN_AGENT,
        Result.UNKNOWN_VERSION,
    }
)


def is_warming(cause: str | None, at: datetime, started_at: datetime) -> bool:
    """Whether a call that began then failed because its version may still have been warming up."""
    return cause in WARMING and at < started_at + STARTUP_BUDGET
