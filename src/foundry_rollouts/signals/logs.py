"""What the logs of live sessions say: status codes of access lines, error levels, tracebacks.

Only sessions that began after the rollout did count, on both versions, so that the two are alike. The cloud keeps no
log of a session that has ended: the calls of one that comes and goes between two reads pass unseen, on both versions
alike. That it failed can be seen later, and counts.

A call belongs to the window in which it began: that of its line, less the time that the line says it took. Calls of
one session are one unit in a window; after a restart no session of the step has failed yet. The listing also says
which version each new session met.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.core.model.measurement import Measurement, Sample, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import LogLine, Sessions, SessionSeen, SessionStatus
from foundry_rollouts.signals.own_sessions import LOOK, OwnSessions
from foundry_rollouts.signals.reported import SourceError
from foundry_rollouts.signals.samples import Begun
from foundry_rollouts.signals.streams import LogBudget
from foundry_rollouts.signals.units import Seen
from foundry_rollouts.signals.wakeups import Wake, no_wake
from foundry_rollouts.signals.watching import DEFAULT_TIMINGS, Followed, LogTimings, Watch

log = structlog.get_logger()

#: Clocks of the cloud and ours may differ by so much.
SKEW = timedelta(seconds=2)
#: A session that is listed for the first time began so long ago at most; older ones were listed before.
NEW = timedelta(minutes=2)


class LogSource:
    """Follows the log streams of live sessions of both versions; an error of the canary wakes the rollout."""

    name = "logs"

    def __init__(
        self,
        sessions: Sessions,
        now: Callable[[], datetime],
        wake: Wake = no_wake,
        budget: LogBudget | None = None,
        timings: LogTimings = DEFAULT_TIMINGS,
    ) -> None:
        self._sessions = OwnSessions.over(sessions, now)
        self._now = now
        self._wake = wake
        budget = budget or LogBudget.usual(now)
        self._requests, self._streams = budget.requests, budget.streams
        self._timings = timings
        self._watches: dict[str, Watch] = {}

    async def measure(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the calls read in ``window``; the first call begins to follow sessions."""
        plan = rollout.policy.sources.logs
        if plan is None or rollout.stable is None:
            return ()
        watch = self._watches.get(rollout.id) or self._begin(rollout, Watch.of(rollout, plan.sessions, window.start))
        watch.step = rollout.step
        self._streams.want(rollout.id, watch.demand)
        watch.tallies.trouble = watch.trouble(self._now()) or self._streams.blindness(rollout.id)
        watch.tallies.sight = self._streams.sight(rollout.id)
        return watch.tallies.collect(rollout, window)

    def _begin(self, rollout: Rollout, watch: Watch) -> Watch:
        watch.task = asyncio.create_task(self._read_sessions(watch), name=f"logs {rollout.agent}")
        self._watches[rollout.id] = watch
        return watch

    async def release(self, rollout: str) -> None:
        """Stop following."""
        if watch := self._watches.pop(rollout, None):
            tasks = watch.tasks
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._streams.forget(rollout)

    async def close(self) -> None:
        await asyncio.gather(*(self.release(rollout) for rollout in list(self._watches)))

    async def _read_sessions(self, watch: Watch) -> None:
        """Look for new sessions again and again."""
        while True:
            self._cut_what_others_need(watch)
            if watch.reads.rejection(self._now()) is None:
                await self._read_and_report(watch)
            await asyncio.sleep(self._timings.list_every.total_seconds())

    async def _read_and_report(self, watch: Watch) -> None:
        try:
            await self._read_once(watch)
            watch.reads.answered()
        except (CloudError, SourceError) as error:
            watch.reads.failed(str(error), self._now())
        except Exception as error:
            # What the cloud sends may surprise us; a source that fell silent for good would be worse.
            log.exception("source.crashed", source=self.name, agent=watch.rollout.agent)
            watch.reads.failed(f"the sessions cannot be read: {type(error).__name__}", self._now())

    async def _read_once(self, watch: Watch) -> None:
        begin = (watch.rollout.started_at or watch.since) - SKEW
        since = max(begin, watch.looked_at - 2 * SKEW) if watch.looked_at and watch.skips else begin
        watch.looked_at = self._now()
        seen: dict[str, SessionSeen] = {}
        async with self._requests.turn(self._timings.list_limit):
            async for session in self._sessions.sessions(watch.rollout.agent):
                if session.created_at < since:
                    break  # The newest come first, so that the rest is older still.
                if self._is_certain(watch, session):
                    seen[session.id] = session
        self._note_new(watch, seen.values())
        # An older session is taken to be as it was, until the next read of all of them.
        older = [each.session for each in watch.followed.values() if each.session.created_at < since]
        watch.count((*seen.values(), *older))
        self._streams.want(watch.rollout.id, watch.demand)
        for session in (*seen.values(), *older):
            if session.status.is_live:
                self._follow_if_wanted(watch, session)
        self._let_go(watch, seen, keep={session.id for session in older})
        live = {each.id for each in seen.values() if not (each.status.is_over or each.status.is_starting)}
        watch.lived = watch.lived | live if watch.skips else live
        watch.skips = watch.skips - 1 if watch.skips else len(seen) // self._timings.page

    def _is_certain(self, watch: Watch, session: SessionSeen) -> bool:
        """Whether a session is one of a version on trial, and known to be a user's or the probe's."""
        is_on_trial = session.version in {watch.rollout.stable, watch.rollout.canary}
        is_known = session.id in watch.followed or not self._sessions.may_include(watch.rollout.agent, session)
        return is_on_trial and not session.id.startswith(LOOK) and is_known

    def _is_ours(self, watch: Watch, session: SessionSeen) -> bool:
        return self._sessions.includes(watch.rollout.agent, session.id)

    def _note_new(self, watch: Watch, seen: Iterable[SessionSeen]) -> None:
        """Note the users' sessions that are listed for the first time, each on the version that the cloud tells."""
        now = self._now()
        horizon = now - NEW
        watch.begun = {id_: at for id_, at in watch.begun.items() if at >= horizon}
        for session in seen:
            if session.created_at < horizon or session.id in watch.begun or self._is_ours(watch, session):
                continue
            watch.begun[session.id] = session.created_at
            watch.tallies.begun(Begun(now, self.name, session.version, session.created_at))

    def _let_go(self, watch: Watch, seen: Mapping[str, SessionSeen], keep: set[str]) -> None:
        """Forget sessions that live no more; a call that one of them died on counts, and so does a failed session."""
        live = keep | {session.id for session in seen.values() if session.status.is_live}
        for gone in [each for each in watch.followed.values() if each.session.id not in live and not each.is_open]:
            del watch.followed[gone.session.id]
            for sample in gone.reader.end() if gone.is_read else ():
                watch.failed.add(gone.session.id)
                self._count(watch, gone, sample, gone.heard_at)
        failed = {
            session.id for session in seen.values() if session.status is SessionStatus.FAILED
        } - watch.followed.keys()
        for session in failed - watch.failed:
            # Those from before were seen by an earlier process; the cloud tells whole seconds.
            created_at = seen[session].created_at + timedelta(seconds=1)
            if created_at > watch.since:
                # One that lived failed a call of late, any other its first one.
                began_at = None if session in watch.lived else created_at
                failed_one = Followed(seen[session], watch.since, self._is_ours(watch, seen[session]))
                self._count(watch, failed_one, Sample(cause="session failed"), began_at)
        watch.failed = failed if not watch.skips else watch.failed | failed

    def _follow_if_wanted(self, watch: Watch, session: SessionSeen) -> None:
        followed = watch.followed.get(session.id)
        if followed and followed.is_open:
            return
        limit = self._streams.allowed(watch.rollout.id, watch.limit)
        if len(watch.open_of(session.version)) >= limit or watch.streams.rejection(self._now()):
            return
        if not self._streams.take(watch.rollout.id):
            return
        followed = followed or Followed(session, watch.since - SKEW, self._is_ours(watch, session))
        followed.session = session  # One that slept may wake on another version.
        watch.followed[session.id] = followed
        name = f"log of {followed.session.id}"
        followed.stream = asyncio.create_task(self._follow(watch, followed), name=name)
        followed.stream.add_done_callback(lambda _: self._streams.give_back())

    def _cut_what_others_need(self, watch: Watch) -> None:
        """End the streams that were opened last where the rollout may no longer have as many."""
        allowed = self._streams.allowed(watch.rollout.id, watch.limit)
        for version in (watch.rollout.stable, watch.rollout.canary):
            for followed in watch.open_of(version)[allowed:]:
                followed.cut()

    async def _follow(self, watch: Watch, followed: Followed) -> None:
        """Read one session's stream until it ends; the next read opens it again if the session lives on."""
        session = followed.session
        followed.is_read = False
        try:
            await self._requests.take()
            followed.opened_at = self._now()
            stream = self._sessions.log_lines(watch.rollout.agent, session.version, session.id)
            async with aclosing(followed.memory.reading(stream)) as lines:
                async for line, is_new in lines:
                    followed.trouble = None
                    watch.streams.answered()
                    if is_new and not followed.is_too_old(line):
                        self._read(watch, followed, line)
        except CloudError as error:
            if error.is_ours:
                followed.trouble = str(error)
                watch.streams.failed(followed.trouble, self._now())
        except Exception as error:
            log.exception("source.crashed", source=self.name, agent=watch.rollout.agent)
            followed.trouble = f"a session's log cannot be read: {type(error).__name__}"
            watch.streams.failed(followed.trouble, self._now())
        followed.is_read = True
        await asyncio.sleep(self._timings.reopen_after.total_seconds())

    def _read(self, watch: Watch, followed: Followed, line: LogLine) -> None:
        followed.heard_at = min(line.at or self._now(), self._now())
        for sample in followed.reader.read(line):
            self._count(watch, followed, sample, followed.heard_at - (sample.latency or timedelta(0)))

    def _count(self, watch: Watch, followed: Followed, sample: Sample, began_at: datetime | None) -> None:
        """Count a call that began then; None: it began just now, as far as is known."""
        now, session = self._now(), followed.session
        began_at = min(began_at or now, now)  # The cloud's clock may run ahead.
        # The probe leaves a session that failed once, so that its calls stand alone.
        unit = session.id if followed.stratum == "logs" else None
        watch.tallies.add(Seen(now, followed.stratum, session.version, sample, began_at, unit))
        if (sample.cause or sample.has_log_error) and session.version == watch.rollout.canary:
            self._wake(watch.rollout.id)
