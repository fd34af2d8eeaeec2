"""Sessions that write logs, and the source that follows them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from builders import NOON
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.ports import LogLine
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.logs import LogSource
from foundry_rollouts.signals.streams import LogBudget, Streams
from foundry_rollouts.signals.watching import LogTimings
from unit.signals.session_world import (
    Hand,
    HandMadeSessions,
    a_session,
    a_watched,
    seen_by,
    until,
)

GOOD = 'INFO: 127.0.0.1:1 - "POST /responses HTTP/1.1" 200'


BAD = 'INFO: 127.0.0.1:1 - "POST /responses HTTP/1.1" 500'


HOUR = timedelta(hours=1)


QUICKLY = LogTimings(list_every=timedelta(milliseconds=2), reopen_after=timedelta(milliseconds=2))


def line(text: str, second: float = 1, **but: Any) -> LogLine:
    return replace(LogLine(NOON + timedelta(seconds=second), "stderr", text), **but)


class Following:
    """A source over hand-made sessions, and whom it woke."""

    def __init__(self) -> None:
        self.cloud = HandMadeSessions()
        self.clock = Hand(NOON + timedelta(seconds=1))
        self.woken: list[str] = []
        self.timed()

    def timed(self, **but: Any) -> None:
        budget = LogBudget(RateLimiter(self.clock.now, per_second=1e6), Streams(self.clock.now))
        timings = replace(QUICKLY, **but)
        self.source = LogSource(self.cloud, self.clock.now, self.woken.append, budget, timings)

    def says(self, session: str, version: str, *lines: LogLine, created_at: datetime = NOON) -> None:
        self.cloud.live.append(a_session(session, version, created_at=created_at))
        self.cloud.lines[session] = list(lines)

    def calls(self) -> dict[str, tuple[int, int]]:
        """Return calls and failures that were read so far, by version, each call apiece."""
        watch = self.source._watches["r-1"]
        seen = [(each.version, each.sample.cause is not None) for each in watch.tallies._seen]
        return {of: (len([1 for each, _ in seen if each == of]), seen.count((of, True))) for of, _ in seen}

    async def has_read(self, canary: int) -> None:
        """Wait for so many calls of the canary."""

        async def enough() -> bool:
            await seen_by(self.source, a_watched())
            return self.calls().get("2", (0, 0))[0] >= canary

        await until(enough)

    async def looked(self, times: int = 2) -> None:
        looks = self.cloud.listings + times

        async def enough() -> bool:
            return self.cloud.listings >= looks

        await until(enough)


async def counted(following: Following, rollout: Rollout | None = None) -> dict[str, tuple[int, int, int, int]]:
    """Return calls and failures of stable and canary, by stratum."""
    seen = await seen_by(following.source, rollout or a_watched())
    return {
        name: (each.stable.calls, each.stable.failures, each.canary.calls, each.canary.failures)
        for name, each in seen.items()
    }
