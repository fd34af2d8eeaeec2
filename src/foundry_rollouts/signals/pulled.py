"""Sources that are asked for counts of a window: what Prometheus, HTTP and Application Insights have in common.

A window begins where the last one ended, never before the present step, and ends before now by the source's delay, so
that what it counts no longer changes. A server that is silent, slow, away or tells what cannot be costs no tick any
time: it is asked in the background, and its trouble is told.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from foundry_rollouts.core.measurement import Counts, Measurement, Window
from foundry_rollouts.core.rollout import Rollout
from foundry_rollouts.core.sources import HttpPlan, InsightsPlan, PrometheusPlan, PulledPlan
from foundry_rollouts.signals.manners import Breaker
from foundry_rollouts.signals.numbers import Told, TroubleError

log = structlog.get_logger()

#: A tick waits so long for an answer; later ones are found by the next tick.
PATIENCE = timedelta(seconds=0.5)
#: Windows begin and end on whole seconds, which every server understands.
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """The counts that are asked for: of one version, in one window of whole seconds."""

    agent: str
    version: str
    window: Window

    @property
    def seconds(self) -> int:
        return round(self.window.seconds)


class Counter(Protocol):
    """Who counts; everything that can go wrong is a TroubleError."""

    name: str

    async def count(self, plan: PulledPlan, asked: Asked) -> Told: ...

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class Pull:
    """Where one rollout's counting stands."""

    counted_until: datetime
    task: asyncio.Task[Measurement] | None = None
    handed: tuple[datetime, Measurement] | None = None  #: At the end of which tick's window.

    def unrecorded(self, window: Window) -> Measurement | None:
        """Return what was handed out to a tick that was never recorded."""
        return self.handed[1] if self.handed and window.start < self.handed[0] else None


@dataclass(slots=True)
class PulledSource:
    """Asks a counter for both versions, window by window."""

    counter: Counter
    now: Callable[[], datetime]
    _pulls: dict[str, Pull] = field(default_factory=dict)
    _breakers: dict[PulledPlan, Breaker] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.counter.name

    async def measure(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the counts that are ready; begins to ask for the next window when that is complete."""
        plan = rollout.policy.sources.plan(self.name)
        if not isinstance(plan, PrometheusPlan | HttpPlan | InsightsPlan) or rollout.stable is None:
            return ()
        # An earlier process may have counted up to there at the latest; nothing is counted twice.
        pull = self._pulls.setdefault(rollout.id, Pull(window.start - plan.delay))
        if unrecorded := pull.unrecorded(window):
            return (unrecorded,)
        if pull.task is None:
            span = span_of(plan, rollout, window, pull.counted_until)
            if span is None:
                return ()
            pull.task = asyncio.create_task(self._count(plan, rollout, span), name=f"{self.name} {rollout.agent}")
        await asyncio.wait([pull.task], timeout=PATIENCE.total_seconds())
        return self._handed(pull, pull.task.result(), rollout, window) if pull.task.done() else ()

    async def release(self, rollout: str) -> None:
        """Stop asking."""
        pull = self._pulls.pop(rollout, None)
        if pull and pull.task:
            pull.task.cancel()
            await asyncio.wait([pull.task])

    async def close(self) -> None:
        await asyncio.gather(*(self.release(rollout) for rollout in list(self._pulls)))
        await self.counter.aclose()

    def _handed(self, pull: Pull, found: Measurement, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Hand out what a finished task found, unless it is of an earlier step."""
        pull.task = None
        if found.trouble is None:
            pull.counted_until = found.window.end
            if rollout.step_started_at and found.window.start < rollout.step_started_at:
                return ()
        pull.handed = window.end, found
        return (found,)

    async def _count(self, plan: PulledPlan, rollout: Rollout, span: Window) -> Measurement:
        # A wrong query of one policy must not silence the same server for others.
        breaker = self._breakers.setdefault(plan, Breaker())
        try:
            stable, canary = await self._both(plan, rollout, span, breaker)
        except TroubleError as error:
            # Nothing was counted, so the window has no length; the next one takes in what this one missed.
            return Measurement(self.name, Window(span.end, span.end), trouble=str(error))
        return Measurement(self.name, span, stable=stable, canary=canary)

    async def _both(self, plan: PulledPlan, rollout: Rollout, span: Window, breaker: Breaker) -> list[Counts]:
        """Return the counts of stable and canary, or of neither. Raises TroubleError."""
        if rests := breaker.refuses(self.now()):
            raise TroubleError(rests)
        asked = [Asked(rollout.agent, version, span) for version in (rollout.stable or "", rollout.canary)]
        found = await asyncio.gather(*(self._counts(plan, each) for each in asked), return_exceptions=True)
        counts = [each for each in found if isinstance(each, Counts)]
        if len(counts) == len(asked):
            breaker.answered()
            return counts
        fault = next(each for each in found if isinstance(each, BaseException))
        trouble = self._trouble(rollout, fault)
        breaker.failed(trouble, self.now())
        raise TroubleError(trouble)

    async def _counts(self, plan: PulledPlan, asked: Asked) -> Counts:
        return (await self.counter.count(plan, asked)).as_counts(self.now(), f"failed by {self.name}")

    def _trouble(self, rollout: Rollout, fault: BaseException) -> str:
        if isinstance(fault, TroubleError):
            return str(fault)
        # A stranger's answer may surprise us; a source that fell silent for good would be worse.
        log.error("source.crashed", source=self.name, agent=rollout.agent, exc_info=fault)
        return f"the answer cannot be read ({type(fault).__name__})"


def span_of(plan: PulledPlan, rollout: Rollout, window: Window, counted_until: datetime) -> Window | None:
    """Return the next window to count, of whole seconds and at least ``plan.every``; None: it is not complete yet."""
    begin = max(counted_until, rollout.step_started_at or counted_until)
    begin, end = _whole(begin + SECOND - begin.resolution), _whole(window.end - plan.delay)
    return Window(begin, end) if end - begin >= plan.every else None


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)
