"""Following a rollout to its end: each event as it happens, through restarts of the service."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from foundry_rollouts.cli.api import Json, OpsApi
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import UnavailableError
from foundry_rollouts.untrusted import visible

FINAL = frozenset({"promoted", "rolled_back", "disabled", "superseded", "failed", "aborted", "observed"})
GIVE_UP_AFTER = timedelta(minutes=5)  #: A service that is away so long is not being restarted.
BETWEEN_TRIES = timedelta(seconds=1)


@dataclass(slots=True)
class Outage:
    """How long the service has been away: reported once, borne for a while, and its end is reported too."""

    limit: timedelta = GIVE_UP_AFTER
    since: float | None = None

    def bear(self, error: UnavailableError) -> None:
        """Report the first failure. Raises ``error`` once the service has been away for too long."""
        now = time.monotonic()
        if self.since is None:
            self.since = now
            say(f"{error}; trying again for {self.limit.total_seconds() / 60:g} minutes", err=True)
        elif now - self.since >= self.limit.total_seconds():
            raise error

    def over(self) -> None:
        """Take note that the service answers."""
        if self.since is not None:
            say("the service answers again", err=True)
        self.since = None


async def follow(api: OpsApi, rollout: str, tell: Callable[[Json], None]) -> Json:
    """Pass each event to ``tell`` until the rollout has ended; return it as it ended."""
    seen: str | None = None
    outage = Outage()
    while True:
        try:
            async for event in api.live(rollout, seen):
                outage.over()
                seen = event["id"]
                tell(event)
            now = await api.rollout(rollout)
        except UnavailableError as error:
            outage.bear(error)
        else:
            outage.over()
            # A service that is newer may know other ends.
            if is_ended(now):
                return now
        await asyncio.sleep(BETWEEN_TRIES.total_seconds())


def is_ended(rollout: Json) -> bool:
    """Whether nothing more will happen to the rollout."""
    return rollout["phase"] in FINAL or bool(rollout.get("ended_at"))


@dataclass(slots=True)
class Lines:
    """Writes a rollout as plain lines: every event, and what it waits for while nothing happens.

    Systems that run pipelines end a job that writes nothing for long, and people who read its log want to know why.
    """

    say: Callable[[str], None]
    news_after: timedelta = timedelta(seconds=30)  #: Something else is waited for, and this long nothing was written.
    same_after: timedelta = timedelta(minutes=5)  #: The same is waited for.
    check_every: timedelta = timedelta(seconds=5)
    _written: float = field(default_factory=time.monotonic)
    _waits_for: str = ""

    async def follow(self, api: OpsApi, rollout: str) -> Json:
        """Write the rollout until it has ended; return it as it ended."""
        checking = asyncio.create_task(self._report_waits(api, rollout))
        try:
            return await follow(api, rollout, lambda event: self._write(line_of(event)))
        finally:
            checking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await checking

    async def _report_waits(self, api: OpsApi, rollout: str) -> None:
        while True:
            await asyncio.sleep(self.check_every.total_seconds())
            # ``follow`` reports what goes wrong and decides how long to bear it.
            with contextlib.suppress(Exception):
                self._report(await api.rollout(rollout))

    def _report(self, now: Json) -> None:
        waits_for = wait_of(now)
        limit = self.same_after if waits_for == self._waits_for else self.news_after
        if is_ended(now) or time.monotonic() - self._written < limit.total_seconds():
            return
        self._waits_for = waits_for
        self._write(_line(_now(), f"({now['phase']})", waits_for))

    def _write(self, line: str) -> None:
        self._written = time.monotonic()
        self.say(line)


def wait_of(rollout: Json) -> str:
    """Say at which step a rollout stands and what it waits for."""
    waits_for = rollout.get("waiting_for")
    why = f"waiting for {waits_for}" if waits_for else str(rollout["because"])
    return f"step {rollout['step']} of {rollout['steps']}, {why}"


def line_of(event: Json) -> str:
    """Return an event as one plain line: time, kind, because."""
    return _line(str(event["at"]), str(event["kind"]), str(event["because"]))


def _line(at: str, kind: str, because: str) -> str:
    return visible(f"{at}  {kind:<20}  {' '.join(because.split())}")


def _now() -> str:
    from foundry_rollouts import clock

    return clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
