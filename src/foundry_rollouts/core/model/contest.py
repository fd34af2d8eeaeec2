"""Two controllers on one routing: another one sets it otherwise each time that it was restored."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from foundry_rollouts.core.model.backoff import Backoff, is_reminder_due, spelled

#: Restoring continues, ever more rarely, so that the two do not fight at every check.
RESTORING = Backoff(timedelta(seconds=10), timedelta(minutes=5), obeys=timedelta(0))
#: After so much quiet, the next drift is a new one.
QUIET = timedelta(minutes=30)
ADVICE = "two controllers set this routing: stop the other one, or set on-drift: pause"


@dataclass(frozen=True, slots=True)
class Contest:
    """How often the routing was restored, since when, and when the history reported it last."""

    since: datetime
    at: datetime
    told_at: datetime
    times: int = 1

    @property
    def until(self) -> datetime:
        """When it may be restored again."""
        return self.at + RESTORING.pause(self.times)

    def sentence(self, now: datetime) -> str:
        """Say why nothing is done just now."""
        return (
            f"{ADVICE}; restored {_times(self.times)} since {self.since:%H:%M:%S}, again in {spelled(self.until - now)}"
        )


def still(contest: Contest | None, now: datetime) -> Contest | None:
    """Return the contest as far as it is one still."""
    return contest if contest and now - contest.at < QUIET else None


def restored(contest: Contest | None, now: datetime) -> Contest:
    """Return the contest once the routing was restored at ``now``; ``told_at`` is then where it is to be reported."""
    known = still(contest, now)
    if known is None:
        return Contest(now, now, now)
    told_at = now if is_reminder_due(known.since, known.told_at, now) else known.told_at
    return replace(known, at=now, told_at=told_at, times=known.times + 1)


def because_restored(drift: str, contest: Contest | None, now: datetime) -> str:
    """Say why the routing is restored, and what it means that it is not for the first time."""
    known = still(contest, now)
    if known is None:
        return f"{drift}: restored. If it is changed again, {ADVICE}"
    return f"{drift}: restored, after {_times(known.times)} since {known.since:%H:%M:%S}. {ADVICE.capitalize()}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
