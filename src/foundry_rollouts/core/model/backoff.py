"""How long to wait before something is tried again, and when it is reported again: growing pauses, known in advance."""

from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)
#: After the first report, what continues is reported again so long after it began; then once a day.
REMINDERS = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from ``first`` to ``most``; ``obeys`` is the longest pause that the cloud may ask for."""

    first: timedelta
    most: timedelta
    obeys: timedelta = timedelta(0)

    def pause(self, times: int, asked: timedelta | None = None, part: float = 1.0) -> timedelta:
        """Return how long to wait after try number ``times`` failed; ``part`` of it, for a random one."""
        doubled: timedelta = self.first * 2.0 ** min(times - 1, 20)
        return max(min(doubled, self.most) * part, min(asked or timedelta(0), self.obeys))


#: A step forward can wait: it keeps whatever pause the cloud asks for.
FORWARD = Backoff(timedelta(seconds=10), timedelta(minutes=5), obeys=DAY)
#: A way back is tried often, whatever the cloud asks for, but never without a pause.
BACK = Backoff(timedelta(seconds=1), timedelta(seconds=30), obeys=timedelta(seconds=30))


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that the cloud refuses: what it said last, and when it is sent again."""

    says: str
    since: datetime
    at: datetime
    until: datetime
    times: int = 1
    told: tuple[str, ...] = ()  #: The kinds of refusal that the history reports.

    def sentence(self, now: datetime) -> str:
        """Say what the cloud said, how often, and when it is asked again."""
        often = f", {self.times} times since {self.since:%H:%M:%S}" if self.times > 1 else ""
        return f"{self.says}{often}; tried again in {spelled(self.until - now)}"


@dataclass(frozen=True, slots=True)
class Refusing:
    """One refusal: its kind, its words, and the pause that the cloud asked for."""

    kind: str
    says: str
    asked: timedelta | None = None


def refused_again(before: Refused | None, refusal: Refusing, backoff: Backoff, now: datetime) -> Refused:
    """Return what is known once a change was refused, for the first time or again."""
    times = before.times + 1 if before else 1
    told = before.told if before else ()
    return Refused(
        says=refusal.says,
        since=before.since if before else now,
        at=now,
        until=now + backoff.pause(times, refusal.asked),
        times=times,
        told=told if refusal.kind in told else (*told, refusal.kind),
    )


def is_reminder_due(since: datetime, told_at: datetime, now: datetime) -> bool:
    """Whether what began at ``since``, and was reported last at ``told_at``, is to be reported again."""
    return now >= reminder_after(since, told_at)


def reminder_after(since: datetime, told_at: datetime) -> datetime:
    """Return when what began at ``since``, and was reported last at ``told_at``, is to be reported again."""
    told = told_at - since
    following = next((each for each in REMINDERS if each > told), None) or (told // DAY + 1) * DAY
    return since + following


def spelled(span: timedelta) -> str:
    """Return a span as people say it: ``40 s``, ``5 min``, ``2 h``."""
    seconds = max(round(span.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"
