"""When things happen: a small fixed set of jobs, never a job per rollout.

Ticks are started by ``tick_loop.py``, for the agents whose leases are held. The sweep claims what is due and this
replica's to take, and finds what was woken and not rung.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from foundry_rollouts.controller.claims import Claims
from foundry_rollouts.controller.health import JobHealth, check_schema
from foundry_rollouts.controller.membership import Membership
from foundry_rollouts.controller.projects import Listing
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.controller.tick_loop import TickLoop
from foundry_rollouts.errors import StoreError, UnavailableError
from foundry_rollouts.ports import Lease

log = structlog.get_logger()

Job = Callable[[], Coroutine[Any, Any, None]]

#: How long running work may take when the daemon is asked to stop: the next process can settle it as well.
GRACEFUL_TIMEOUT = timedelta(seconds=0.3)
#: How long what is cut off may take to end.
CANCEL_TIMEOUT = timedelta(seconds=0.1)
#: How long to wait for a database that is away when there is something to record that nobody else knows.
FLUSH_TIMEOUT = timedelta(seconds=5)
#: How often measurements that have grown old are taken away.
FORGET_EVERY = timedelta(hours=1)
#: How often the schema is checked: the next release may upgrade it while this one runs.
SCHEMA_EVERY = timedelta(seconds=10)
#: How many agents are checked at once while the database is away, and ticked at once unless it is set.
MAX_CONCURRENT = 32


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often each job runs."""

    sweep: timedelta
    discovery: timedelta
    renewal: timedelta
    heartbeat: timedelta = timedelta(seconds=3)
    brakes: timedelta = timedelta(seconds=1)  #: What people stopped and hold is read; whoever changes it rings.
    lease: timedelta = timedelta(seconds=30)  #: How long a lease lasts, and a replica counts as alive.
    stall_after: timedelta = timedelta(minutes=1)  #: A rollout without a tick for so long gets one anyway.
    memory: timedelta = timedelta(days=90)  #: How long measurements are kept.
    outbox: timedelta = timedelta(seconds=2)  #: What was just recorded wakes it; this is for retries.
    ticks_at_once: int = MAX_CONCURRENT


class Scheduler:
    """Runs the sweep, discovery, lease renewal and the outbox until it is stopped; some may be woken to run at once."""

    def __init__(
        self, ticker: Ticker, discovery: Listing, health: JobHealth, intervals: Intervals, now: Callable[[], datetime]
    ) -> None:
        self._ticker = ticker
        self._store, self._metrics = ticker.world.store, ticker.metrics
        self._discovery = discovery
        self._pool = discovery.pool
        self._job_health = health
        self._intervals = intervals
        self._now = now
        self._started_at = now()
        self._tasks: set[asyncio.Task[None]] = set()
        retry = min(intervals.sweep, ticker.period)
        self._loop = TickLoop(ticker, self._pool, discovery.troubles, intervals.ticks_at_once, retry, self._tasks)
        self._loop.on_left = self.wake_sweep
        membership = Membership(ticker.world.store, self._pool.elapsed, intervals.lease)
        self._claims = Claims(self._pool, self._loop, membership, ticker)
        self._woken: set[str] = set()
        self._jobs = AsyncIOScheduler(timezone="UTC")
        # A sweep that is still at it when the next is due needs no line in the log: the next one does its work.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

    def start(self) -> None:
        """Begin; discovery runs first, so that an unpinned endpoint is met before anything else."""
        for job, every in (
            (self._discover, self._intervals.discovery),
            (self._sweep, self._intervals.sweep),
            (self._count, self._intervals.sweep),
            (self._brakes, self._intervals.brakes),
            (self._renew, self._intervals.renewal),
            (self._beat, self._intervals.heartbeat),
            (self._outbox, self._intervals.outbox),
            (self._forget, FORGET_EVERY),
            (self._check_schema, SCHEMA_EVERY),
        ):
            self._jobs.add_job(
                self._surviving(job),
                IntervalTrigger(seconds=every.total_seconds(), timezone="UTC"),
                id=job.__name__,
                next_run_time=self._now(),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
        self._jobs.start()
        self._loop.start()

    def hear(self, agents: Sequence[str]) -> None:
        """Tick ``agents``, which became due before their time, where they are this replica's; none: any may have.

        What people stop and hold rings for all.
        """
        if not agents and (brakes := self._ticker.world.brakes):
            brakes.forget()
            self._run_now("_brakes")
        if self._claims.hear(agents):
            self.wake_sweep()

    def wake(self, agents: Sequence[str]) -> Sequence[str]:
        """Tick those of ``agents`` that are held here at once; return the others, of which a sweep takes ours."""
        if others := self._loop.wake(agents):
            self.wake_sweep()
        return others

    def wake_sweep(self) -> None:
        """Make the sweep run now: something became due before its time."""
        self._run_now("_sweep")

    def wake_discovery(self) -> None:
        """Make the agents be listed now: policies changed."""
        self._run_now("_discover")

    def wake_outbox(self) -> None:
        """Make the outbox be drained now: a message was left in it."""
        self._run_now("_outbox")

    def _run_now(self, job: str) -> None:
        if self._jobs.running:
            self._woken.add(job)
            self._jobs.modify_job(job, next_run_time=self._now())

    async def stop(self) -> None:
        """Give back at once what nobody is at work on, then the rest; work that hangs is cut off.

        A tick may be cut off at any instruction, as by a crash: the next one settles its intent.
        """
        if not self._jobs.running:
            return
        self._jobs.pause()
        self._loop.stop()
        self._pool.close()
        await self._claims.membership.leave()
        idle = self._pool.release_idle(self._now(), tuple(self._ticker.offline.unsaved))
        await asyncio.gather(idle, self._cut_off())
        await self._say_last_words()
        await self._pool.release_all(self._now())
        self._jobs.shutdown(wait=False)

    async def _cut_off(self) -> None:
        await self._finish(GRACEFUL_TIMEOUT)
        for task in self._tasks:
            task.cancel()
        await self._finish(CANCEL_TIMEOUT)

    async def _finish(self, within: timedelta) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=within.total_seconds())

    async def _say_last_words(self) -> None:
        """Record what was done while the database was away: nobody else knows of it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT.total_seconds()):
                while self._ticker.offline.unsaved:
                    with suppress(StoreError):
                        await self._ticker.offline.flush()
                    await asyncio.sleep(CANCEL_TIMEOUT.total_seconds())

    async def _sweep(self) -> None:
        await self._once_more("_sweep", self._sweep_once)

    async def _once_more(self, job: str, work: Job) -> None:
        """Do a job, and once more when it rang meanwhile: whoever rang may have come too late."""
        self._woken.add(job)
        while job in self._woken:
            self._woken.discard(job)
            await work()

    async def _sweep_once(self) -> None:
        """Claim what is due and ours to take, and tick it; check those held while the database is away."""
        now = self._now()
        self._metrics.discovered(now - (self._job_health.discovered_at or self._started_at))
        try:
            await self._ticker.offline.flush()
            await self._claims.claim_all()
        except StoreError:
            self._metrics.database(is_up=False)
            self._loop.is_halted = True
            places = asyncio.Semaphore(MAX_CONCURRENT)
            await asyncio.gather(*(self._watch_over(lease, places) for lease in self._pool.valid(now)))
            raise
        for agent in self._pool.stalled(self._intervals.stall_after):
            self._loop.due.plan(agent, now)
        self._loop.is_halted = False
        self._loop.pump()
        self._job_health.swept_at = now
        self._show(now)

    def _show(self, now: datetime) -> None:
        self._metrics.swept(now)
        self._metrics.database(is_up=True)
        self._metrics.leases(len(self._pool))
        self._metrics.shares(len(self._claims.membership.owners.live), self._claims.membership.fair_share)
        self._metrics.ticks(self._pool.in_use, self._loop.due.ready(now))
        self._metrics.sweep_series(now)

    async def _watch_over(self, lease: Lease, places: asyncio.Semaphore) -> None:
        """Look at one of many without the database: one after the other, they would outlast their leases."""
        async with places:
            try:
                await self._ticker.offline.check_offline(lease)
            except Exception:
                # One agent's fault must not stop the others, here either.
                log.exception("offline.crashed", agent=lease.agent)

    async def _discover(self) -> None:
        await self._once_more("_discover", self._discover_once)

    async def _discover_once(self) -> None:
        try:
            # Discovery may be granted a lease anew, and what is still to be recorded goes by the one before.
            await self._ticker.offline.flush()
            self._job_health.survey = await self._discovery.discover()
        except UnavailableError as error:
            if self._job_health.trouble is None:
                log.warning("cloud.lost", because=str(error))
            self._job_health.trouble = str(error)
            self._job_health.is_tried.set()
            return
        if self._job_health.trouble is not None:
            log.info("cloud.found", because="the agents could be listed again")
        self._job_health.trouble, self._job_health.discovered_at = None, self._now()
        self._metrics.unacknowledged(await self._store.unacknowledged_counts())
        self._job_health.is_tried.set()
        self.wake_sweep()

    async def _outbox(self) -> None:
        """Notify the receiver; nothing else waits for it."""
        if self._ticker.world.notifier is not None:
            await self._once_more("_outbox", self._ticker.world.notifier.drain)

    async def _forget(self) -> None:
        gone = await self._store.forget_measurements(self._now() - self._intervals.memory)
        if gone:
            log.info("measurements.forgotten", count=gone)

    async def _check_schema(self) -> None:
        await check_schema(self._store, self._job_health)

    async def _renew(self) -> None:
        for agent in await self._pool.renew(self._now()):
            log.warning("lease.lost", agent=agent, because="it ran out before it could be renewed")
            await self._loop.lost(agent)

    async def _beat(self) -> None:
        await self._claims.beat()

    async def _brakes(self) -> None:
        if brakes := self._ticker.world.brakes:
            await self._once_more("_brakes", lambda: brakes.refresh(self._now()))

    async def _count(self) -> None:
        self._metrics.phases(await self._store.counts())

    def _surviving(self, job: Job) -> Job:
        """Wrap a fixed job so that it logs what goes wrong and runs again next time."""

        async def run() -> None:
            work = asyncio.create_task(_logged(job), name=job.__name__)
            self._tasks.add(work)
            work.add_done_callback(self._tasks.discard)
            with suppress(asyncio.CancelledError):
                await work

        return run


async def _logged(job: Job) -> None:
    try:
        await job()
    except UnavailableError as error:
        log.warning("job.failed", job=job.__name__.strip("_"), because=str(error))
    except Exception:
        log.exception("job.crashed", job=job.__name__.strip("_"))
