"""What the logs of live sessions say: status codes of access lines, error levels, tracebacks.

Only sessions that began after the rollout did count, on both versions, so that the two are alike. A session that
comes and goes between two looks passes unseen, on both versions alike.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.core.measurement import Measurement, Sample, Window
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import Sessions, SessionSeen
from foundry_rollouts.signals.loglines import CallReader
from foundry_rollouts.signals.probe import PREFIX
from foundry_rollouts.signals.tally import Seen, Tallies
from foundry_rollouts.signals.waking import Wake, nobody

log = structlog.get_logger()

#: How often new sessions are looked for; a session shorter than this may pass unseen.
LOOK_EVERY = timedelta(seconds=1)
#: How long to wait before a stream that ended is opened again.
REOPEN_AFTER = timedelta(seconds=2)
#: Clocks of the cloud and ours may differ by so much.
SKEW = timedelta(seconds=2)
#: A session in one of these states writes nothing any more.
QUIET = {"idle", "deleting", "deleted", "expired", "failed"}


@dataclass(slots=True)
class Followed:
    """One session, over as many streams as it takes."""

    session: SessionSeen
    read_until: datetime  #: A stream that is opened again repeats its last lines.
    reader: CallReader = field(default_factory=CallReader)
    stream: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self.stream is not None and not self.stream.done()

    @property
    def stratum(self) -> str:
        return "logs/probe" if self.session.id.startswith(PREFIX) else "logs"


@dataclass(slots=True)
class Watch:
    """One rollout whose sessions are followed."""

    rollout: Rollout
    limit: int  #: Streams for each version.
    tallies: Tallies
    since: datetime  #: Lines before this were counted by an earlier process, or are not ours to count.
    followed: dict[str, Followed] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        streams = (followed.stream for followed in self.followed.values())
        return [task for task in (self.task, *streams) if task]


class LogSource:
    """Follows the log streams of live sessions of both versions; an error of the canary wakes the rollout."""

    name = "logs"

    def __init__(self, sessions: Sessions, now: Callable[[], datetime], wake: Wake = nobody) -> None:
        self._sessions = sessions
        self._now = now
        self._wake = wake
        self._watches: dict[str, Watch] = {}

    async def measure(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the calls read in ``window``; the first call begins to follow sessions."""
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
            tasks = watch.tasks
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def close(self) -> None:
        await asyncio.gather(*(self.release(rollout) for rollout in list(self._watches)))

    async def _look(self, watch: Watch) -> None:
        """Look for new sessions again and again."""
        while True:
            try:
                await self._look_once(watch)
                watch.tallies.trouble = None
            except CloudError as error:
                watch.tallies.trouble = str(error)
            except Exception as error:
                # What the cloud sends may surprise us; a source that fell silent for good would be worse.
                log.exception("source.crashed", source=self.name, agent=watch.rollout.agent)
                watch.tallies.trouble = f"the sessions cannot be read: {type(error).__name__}"
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def _look_once(self, watch: Watch) -> None:
        begin = (watch.rollout.started_at or watch.since) - SKEW
        live: set[str] = set()
        async for session in self._sessions.sessions(watch.rollout.agent):
            if session.created_at < begin:
                break  # The newest come first, so that the rest is older still.
            if session.version in {watch.rollout.stable, watch.rollout.canary} and session.status not in QUIET:
                live.add(session.id)
                self._follow_if_wanted(watch, session)
        self._forget(watch, [id_ for id_, each in watch.followed.items() if id_ not in live and not each.is_open])

    def _follow_if_wanted(self, watch: Watch, session: SessionSeen) -> None:
        followed = watch.followed.get(session.id)
        streams = sum(each.is_open for each in watch.followed.values() if each.session.version == session.version)
        if (followed and followed.is_open) or streams >= watch.limit:
            return
        followed = followed or Followed(session, read_until=watch.since - SKEW)
        watch.followed[session.id] = followed
        name = f"log of {followed.session.id}"
        followed.stream = asyncio.create_task(self._follow(watch, followed), name=name)

    def _forget(self, watch: Watch, over: Iterable[str]) -> None:
        """Let sessions go that live no more; a call that one of them died on counts."""
        for session in over:
            followed = watch.followed.pop(session)
            for sample in followed.reader.end():
                self._count(watch, followed, sample)

    async def _follow(self, watch: Watch, followed: Followed) -> None:
        """Read one session's stream until it ends; the next look opens it again if the session lives on."""
        session, read_until = followed.session, followed.read_until
        try:
            async for line in self._sessions.log_lines(watch.rollout.agent, session.version, session.id):
                if line.at is not None and line.at <= read_until:
                    continue
                followed.read_until = max(followed.read_until, self._plausible(line.at or read_until))
                for sample in followed.reader.read(line):
                    self._count(watch, followed, sample)
        except CloudError as error:
            if error.is_ours:
                watch.tallies.trouble = str(error)
        await asyncio.sleep(REOPEN_AFTER.total_seconds())

    def _plausible(self, at: datetime) -> datetime:
        """Return the time of a line; one from the future must not make us deaf until then."""
        return min(at, self._now() + SKEW)

    def _count(self, watch: Watch, followed: Followed, sample: Sample) -> None:
        watch.tallies.add(Seen(self._now(), followed.stratum, followed.session.version, sample))
        if (sample.cause or sample.has_log_error) and followed.session.version == watch.rollout.canary:
            self._wake(watch.rollout.id)
