"""Starts ticks: as many at once as are allowed, the most urgent first, and the next as soon as one has ended."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from foundry_rollouts.controller.due import DueTimes, Urgency
from foundry_rollouts.controller.finish import stop_sources
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.tick import Ticker
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.errors import DriftError, LeaseLostError, RolloutsError, StoreError, UnavailableError
from foundry_rollouts.ports import Lease

log = structlog.get_logger()

#: A tick that takes longer has lost its way; the next one settles what it left open.
TICK_LIMIT = timedelta(seconds=90)
#: How soon after a tick the next one of its agent comes, where the rollout is due at once and nothing woke it.
REST = timedelta(seconds=0.2)
#: Ticks by routine begin together, so often in one period and no further apart than this: they are read and written
#: together then.
MEETINGS, APART = 40, timedelta(seconds=0.5)
#: So many seconds after a tick that was woken began, none by routine begins beside it: harm goes before all else.
#: Where such ticks do not end, routine has as long for itself behind that.
GIVES_WAY = 1.0


@dataclass(slots=True)
class _Last:
    """The last tick of an agent."""

    begun: datetime
    ended: datetime
    failures: int = 0  #: How many failed in a row.


@dataclass(slots=True)
class TickLoop:
    """Ticks the agents whose leases are held, each when it is due; nothing here reads the database."""

    ticker: Ticker
    pool: LeasePool
    troubles: Troubles
    at_once: int  #: How many ticks run at once.
    retry: timedelta  #: How soon after a tick that failed the next one comes.
    tasks: set[asyncio.Task[None]]  #: All that runs, for whoever stops it.
    due: DueTimes = field(default_factory=DueTimes)
    is_halted: bool = False  #: The database is away: agents are checked without it, and nothing is ticked.
    _last: dict[str, "_Last"] = field(default_factory=dict)  #: The present or the last tick of each agent.
    _woken: set[str] = field(default_factory=set)  #: Woken while their tick ran.
    _first: dict[str, float] = field(default_factory=dict)  #: Ticks that were woken, and until when they go first.
    _held_since: float | None = None  #: Since when what is due by routine gives way.
    on_left: Callable[[], None] = lambda: None  #: Called where an agent was woken that was just given back.
    _alarm: asyncio.TimerHandle | None = None
    _is_timed: bool = False

    @property
    def now(self) -> Callable[[], datetime]:
        return self.ticker.now

    def start(self) -> None:
        """Start ticks by a timer, too."""
        self._is_timed = True
        self.pump()

    def stop(self) -> None:
        """Start nothing any more by the timer."""
        self._is_timed = False
        if self._alarm is not None:
            self._alarm.cancel()

    def wake(self, agents: Sequence[str]) -> list[str]:
        """Tick those of ``agents`` that are held at once, before all routine; return those that are not held."""
        now = self.now()
        for agent in agents:
            if self.pool.is_in_use(agent):
                self._woken.add(agent)
            elif self.pool.holds(agent):
                self.due.plan(agent, now, Urgency.WOKEN)
        self.pump()
        return [agent for agent in agents if not self.pool.holds(agent)]

    def overlooked(self, agent: str, since: datetime, read_at: datetime) -> None:
        """Plan a held agent that was due by the database when that was read: somebody woke it, and nothing rang."""
        planned, last = self.due.at(agent), self._last.get(agent)
        if self.pool.is_in_use(agent):
            if last is not None and since > last.begun:
                self._woken.add(agent)
        elif last is None:
            self.due.plan(agent, since)
        elif planned is None or (planned > self.now() and last.ended < read_at and not last.failures):
            # Its last tick had been written when this was read, and it is to wait still.
            self.due.plan(agent, self.now(), Urgency.WOKEN)

    def forget(self, agent: str) -> None:
        """Tick an agent no more: its lease is not held any more."""
        self.due.forget(agent)
        self._woken.discard(agent)
        self._last.pop(agent, None)

    def pump(self) -> None:
        """Start as many ticks as there is room for, and set the timer for the next."""
        if self.pool.is_closed:
            return
        until = self._met(self.now())
        while not self.is_halted and self.pool.in_use < self.at_once and (found := self._next(until)):
            agent, at = found
            if self.pool.holds(agent) and not self.pool.is_in_use(agent):
                self._begin(agent, at)
            else:
                self._first.pop(agent, None)
        self._set_alarm()

    def _next(self, until: datetime) -> tuple[str, datetime] | None:
        """Take the agent that goes next: what was woken first, and nothing by routine while such a tick begins."""
        if found := self.due.pop(until, Urgency.WOKEN):
            self._first[found[0]] = self.pool.elapsed() + GIVES_WAY
            return found
        return self.due.pop(until) if self._gives_way_for() is None else None

    def _gives_way_for(self) -> float | None:
        """Return how many seconds what is due by routine gives way at most; None: it need not now."""
        now = self.pool.elapsed()
        first = max(self._first.values(), default=now)
        if first <= now:
            self._held_since = None
            return None
        if self._held_since is None or now - self._held_since >= 2 * GIVES_WAY:
            self._held_since = now
        left = min(first, self._held_since + GIVES_WAY) - now
        return left if left > 0 else None

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        # What is due by routine already waits for what goes first.
        seconds, next_at = self._gives_way_for(), self.due.next_at()
        if seconds is None and next_at is not None:
            seconds = max(0.0, (self._meets(next_at) - self.now()).total_seconds())
        if self._is_timed and seconds is not None:
            self._alarm = asyncio.get_running_loop().call_later(seconds, self.pump)

    def _met(self, now: datetime) -> datetime:
        """Return the last instant up to ``now`` at which ticks meet."""
        return now - timedelta(seconds=now.timestamp() % self._apart.total_seconds())

    def _meets(self, at: datetime) -> datetime:
        """Return the first instant from ``at`` on at which ticks meet."""
        met = self._met(at)
        return met if met == at else met + self._apart

    @property
    def _apart(self) -> timedelta:
        return min(APART, self.ticker.period / MEETINGS)

    def _begin(self, agent: str, at: datetime) -> None:
        now = self.now()
        last = self._last.setdefault(agent, _Last(now, now))
        last.begun = now
        self.ticker.metrics.tick_lag(max(0.0, (now - at).total_seconds()))
        lease = self.pool.use(agent, now)
        task = asyncio.create_task(self._one(agent, lease), name=f"tick {agent}")
        self.tasks.add(task)
        task.add_done_callback(partial(self._ended, agent))

    def _ended(self, agent: str, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._first.pop(agent, None)
        if not self.pool.is_closed:
            self.pump()

    async def _one(self, agent: str, lease: Lease | None) -> None:
        """Tick one agent under its lease, or under one that is granted anew, and plan the next tick."""
        if lease is None:
            try:
                lease = await self.pool.acquire(agent, self.now())
            except StoreError as error:
                log.warning("tick.failed", agent=agent, because=str(error))
                self._plan(agent, is_well=False)
                return
            if lease is None:
                await self.lost(agent)
                return
        is_well, keep = await self._ticked(lease)
        if not is_well:
            # What it sent may still arrive in the database: the next tick needs a fence of its own.
            self.pool.doubt(agent)
        await self._finish(lease, is_well=is_well, keep=keep)

    async def _finish(self, lease: Lease, *, is_well: bool, keep: bool) -> None:
        try:
            # Whoever was woken meanwhile has something to do after all.
            await self.pool.release(lease, keep=keep or lease.agent in self._woken)
        except RolloutsError as error:
            log.warning("lease.not_released", agent=lease.agent, because=str(error))
        if not self.pool.holds(lease.agent):
            is_woken = lease.agent in self._woken
            self.forget(lease.agent)
            if is_woken:
                self.on_left()
            return
        self._plan(lease.agent, is_well=is_well)

    def _plan(self, agent: str, *, is_well: bool) -> None:
        """Plan the next tick: when the rollout is due, or later each time while ticks fail."""
        now, last = self.now(), self._last[agent]
        last.ended, last.failures = now, 0 if is_well else last.failures + 1
        at = max(self.ticker.due_at.pop(agent, last.begun + self.ticker.period), now + REST)
        if agent in self._woken:
            self._woken.discard(agent)
            self.due.plan(agent, now, Urgency.WOKEN)
        elif is_well:
            self.due.plan(agent, at)
        else:
            self.due.plan(agent, now + min(self.retry * 2 ** min(last.failures - 1, 10), self.ticker.period))

    async def _ticked(self, lease: Lease) -> tuple[bool, bool]:
        """Tick; return whether it went well, and whether the lease is to be kept."""
        try:
            async with asyncio.timeout(TICK_LIMIT.total_seconds()):
                keep = await self.ticker.tick(lease)
        except LeaseLostError as error:
            log.warning("lease.lost", agent=lease.agent, because=str(error))
            await self.lost(lease.agent)
            return False, False
        except StoreError as error:
            log.warning("tick.failed", agent=lease.agent, because=str(error))
            await self.ticker.offline.check_offline(lease)
            await self._note(lease.agent, error)
        except (UnavailableError, DriftError) as error:
            log.warning("tick.failed", agent=lease.agent, because=str(error))
        except TimeoutError:
            log.warning("tick.failed", agent=lease.agent, because=f"not done within {TICK_LIMIT.seconds} s")
        except Exception as error:
            # One agent's fault must not stop the others; the next tick tries again.
            log.exception("tick.crashed", agent=lease.agent)
            await self._note(lease.agent, error)
        else:
            self.troubles.well(lease.agent)
            return True, keep
        return False, True

    async def _note(self, agent: str, error: Exception) -> None:
        await self.troubles.failed(self.ticker.world.store, agent, error)

    async def lost(self, agent: str) -> None:
        """Let go of what another replica has now."""
        self.forget(agent)
        self.ticker.reads.forget(agent)
        if last := self.ticker.offline.last_known.pop(agent, None):
            await stop_sources(self.ticker.world, last.rollout.id)
        self.ticker.metrics.forget(agent)
