"""What the logs of live sessions say: status codes of access lines, error levels, tracebacks.

Only sessions that began after the rollout did count, on both versions, so that the two are alike.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from foundry_rollouts.core.measurement import Measurement, Window
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import Sessions, SessionSeen
from foundry_rollouts.signals.loglines import CallReader
from foundry_rollouts.signals.probe import PREFIX
from foundry_rollouts.signals.tally import Tallies

#: How often new sessions are looked for; a session shorter than this may pass unseen.
LOOK_EVERY = timedelta(seconds=1)
#: How long to wait before a stream that ended is opened again.
REOPEN_AFTER = timedelta(seconds=2)
#: Clocks of the cloud and ours may differ by so much.
SKEW = timedelta(seconds=2)
#: A session in one of these states writes nothing any more.
QUIET = {"idle", "deleting", "deleted", "expired", "failed"}


@dataclass(slots=True)
class Watch:
    """One rollout whose sessions are followed."""

    rollout: Rollout
    limit: int
    tallies: Tallies
    since: datetime  #: Lines before this were counted by an earlier process, or are not ours to count.
    streams: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    read_until: dict[str, datetime] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class LogSource:
    """Follows the log streams of live sessions of both versions."""

    name = "logs"

    def __init__(self, sessions: Sessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now
        self._watches: dict[str, Watch] = {}

    async def measure(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the calls read since the last call; the first call begins to follow sessions."""
        plan = rollout.policy.sources.logs
        if plan is None or rollout.stable is None:
            return ()
        if rollout.id not in self._watches:
            watch = Watch(rollout, plan.sessions, Tallies(("logs", "logs/probe")), since=window.start)
            watch.task = asyncio.create_task(self._look(watch), name=f"logs {rollout.agent}")
            self._watches[rollout.id] = watch
        return self._watches[rollout.id].tallies.hand_out(rollout, window)

    async def release(self, rollout: str) -> None:
        """Stop following."""
        if watch := self._watches.pop(rollout, None):
            tasks = [task for task in (watch.task, *watch.streams.values()) if task]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def close(self) -> None:
        await asyncio.gather(*(self.release(rollout) for rollout in list(self._watches)))

    async def _look(self, watch: Watch) -> None:
        """Look for new sessions again and again."""
        while True:
            try:
                await self._follow_new(watch)
                watch.tallies.trouble = None
            except CloudError as error:
                watch.tallies.trouble = str(error)
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def _follow_new(self, watch: Watch) -> None:
        begin = (watch.rollout.started_at or watch.since) - SKEW
        for id_, task in list(watch.streams.items()):
            if task.done():
                del watch.streams[id_]
        async for session in self._sessions.sessions(watch.rollout.agent):
            if session.created_at < begin:
                break  # The newest come first, so that the rest is older still.
            if session.id not in watch.streams and self._is_wanted(watch, session):
                watch.streams[session.id] = asyncio.create_task(self._follow(watch, session))

    def _is_wanted(self, watch: Watch, session: SessionSeen) -> bool:
        if session.version not in {watch.rollout.stable, watch.rollout.canary} or session.status in QUIET:
            return False
        return len(watch.streams) < 2 * watch.limit

    async def _follow(self, watch: Watch, session: SessionSeen) -> None:
        """Read one session's stream until it ends; the next look opens it again if the session lives on."""
        stratum = "logs/probe" if session.id.startswith(PREFIX) else "logs"
        reader = CallReader()
        counted_until = watch.read_until.get(session.id, watch.since - SKEW)
        try:
            async for line in self._sessions.log_lines(watch.rollout.agent, session.version, session.id):
                if line.at is not None and line.at <= counted_until:
                    continue  # A stream that is opened again repeats its last lines.
                watch.read_until[session.id] = line.at or self._now()
                for sample in reader.read(line):
                    watch.tallies.add(stratum, session.version, sample)
        except CloudError as error:
            if error.is_ours:
                watch.tallies.trouble = str(error)
        for sample in reader.end():
            watch.tallies.add(stratum, session.version, sample)
        await asyncio.sleep(REOPEN_AFTER.total_seconds())
