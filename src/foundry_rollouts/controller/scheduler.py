"""When things happen: a small fixed set of jobs, never a job per rollout.

When a rollout is due is a column in the database, so that a restart, a second replica or ten thousand rollouts
change nothing here.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.health import Pulse
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.errors import DriftError, LeaseLostError, RolloutsError, UnavailableError
from foundry_rollouts.ports import Lease, Store
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

Job = Callable[[], Coroutine[Any, Any, None]]

#: How many agents are ticked at once.
AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often each job runs."""

    sweep: timedelta
    discovery: timedelta
    renewal: timedelta


class Scheduler:
    """Runs the sweep, discovery and lease renewal until it is stopped; ``ring`` makes the sweep run at once."""

    def __init__(
        self, ticker: Ticker, discovery: Discovery, pulse: Pulse, rhythm: Rhythm, now: Callable[[], datetime]
    ) -> None:
        self._ticker = ticker
        self._discovery = discovery
        self._pulse = pulse
        self._rhythm = rhythm
        self._now = now
        self._in_hand: dict[str, tuple[Lease, asyncio.Task[None]]] = {}
        self._jobs = AsyncIOScheduler(timezone="UTC")
        # A sweep that is still at it when the next is due needs no line in the log: the next one does its work.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

    @property
    def _store(self) -> Store:
        return self._ticker.world.store

    @property
    def _metrics(self) -> Metrics:
        return self._ticker.metrics

    def start(self) -> None:
        """Begin; discovery runs first, so that an unpinned endpoint is met before anything else."""
        for job, every in (
            (self._discover, self._rhythm.discovery),
            (self._sweep, self._rhythm.sweep),
            (self._renew, self._rhythm.renewal),
        ):
            self._jobs.add_job(
                _surviving(job),
                IntervalTrigger(seconds=every.total_seconds()),
                id=job.__name__,
                next_run_time=self._now(),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
        self._jobs.start()

    def ring(self) -> None:
        """Make the sweep run now: something became due before its time."""
        self._jobs.modify_job("_sweep", next_run_time=self._now())

    async def stop(self) -> None:
        """Finish the ticks in hand, give their leases back, and end."""
        self._jobs.pause()
        while self._in_hand:
            await asyncio.wait([task for _, task in self._in_hand.values()])
        self._jobs.shutdown(wait=False)

    async def _sweep(self) -> None:
        """Take the leases of due agents and tick them, so many at once."""
        now = self._now()
        room = AT_ONCE - len(self._in_hand)
        for lease in await self._store.claim_due(now, room) if room > 0 else ():
            self._metrics.tick_lag(max(0.0, (now - (lease.due_at or now)).total_seconds()))
            task = asyncio.create_task(self._tick(lease), name=f"tick {lease.agent}")
            self._in_hand[lease.agent] = (lease, task)
        self._pulse.swept_at = now
        self._metrics.swept(now)
        self._metrics.phases(await self._store.counts())
        self._metrics.leases(len(self._in_hand))
        self._metrics.sweep_series(now)

    async def _tick(self, lease: Lease) -> None:
        try:
            await self._ticker.tick(lease)
            await self._store.release(lease)
        except LeaseLostError as error:
            log.warning("lease.lost", agent=lease.agent, because=str(error))
        except (UnavailableError, DriftError) as error:
            log.warning("tick.failed", agent=lease.agent, because=str(error))
            await _released(self._store, lease)
        except Exception:
            # One agent's fault must not stop the others; its lease runs out, and the next tick tries again.
            log.exception("tick.crashed", agent=lease.agent)
        finally:
            self._in_hand.pop(lease.agent, None)

    async def _discover(self) -> None:
        try:
            await self._discovery.discover()
        except UnavailableError as error:
            if self._pulse.trouble is None:
                log.warning("cloud.lost", because=str(error))
            self._pulse.trouble = str(error)
            return
        if self._pulse.trouble is not None:
            log.info("cloud.found", because="the agents could be listed again")
        self._pulse.trouble, self._pulse.discovered_at = None, self._now()
        self.ring()

    async def _renew(self) -> None:
        if held := [lease for lease, _ in self._in_hand.values()]:
            await self._store.renew(held, self._now())


async def _released(store: Store, lease: Lease) -> None:
    try:
        await store.release(lease)
    except RolloutsError as error:
        log.warning("lease.kept", agent=lease.agent, because=str(error))


def _surviving(job: Job) -> Job:
    """Wrap a fixed job so that it logs what goes wrong and runs again next time."""

    @wraps(job)
    async def run() -> None:
        try:
            await job()
        except UnavailableError as error:
            log.warning("job.failed", job=job.__name__.strip("_"), because=str(error))
        except Exception:
            log.exception("job.crashed", job=job.__name__.strip("_"))

    return run
