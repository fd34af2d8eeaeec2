"""Sources that are asked for counts of a window: what Prometheus, HTTP and Application Insights have in common.

A window begins where the last one ended, never before the present step, and ends before now by the source's delay, so
that what it counts no longer changes. A server that is silent, slow, away or tells what cannot be costs no tick any
time: it is asked in the background, and its trouble is reported. Each rollout asks, rests and reports for itself.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import PolledConfig
from foundry_rollouts.signals.limits import CircuitBreaker
from foundry_rollouts.signals.reported import Fraction, NotWholeError, ReportedCounts, SourceError

log = structlog.get_logger()

#: Windows begin and end on whole seconds, which every server understands.
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class PollTimings:
    """How long a tick waits for counts, and a source before it asks again."""

    answer_within: timedelta = timedelta(seconds=0.5)  #: Later answers are found by the next tick.
    retry_after: timedelta = timedelta(seconds=10)  #: After an answer that cannot be used, at most.


@dataclass(frozen=True, slots=True)
class CountQuery:
    """The counts that are asked for: of one version, in one window of whole seconds."""

    agent: str
    version: str
    window: Window

    @property
    def seconds(self) -> int:
        return round(self.window.seconds)


C = TypeVar("C", bound=PolledConfig)


class Counter(Protocol[C]):
    """Who counts; everything that can go wrong is a SourceError."""

    config: type[C]

    async def count(self, config: C, asked: CountQuery) -> ReportedCounts: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What one window gave, and what is left of its estimates, by version."""

    measurement: Measurement
    fractions: Mapping[str, Fraction]
    is_unusable: bool = False  #: The server answered, and its counts are no evidence.


@dataclass(slots=True)
class PollState:
    """Where one rollout's counting stands."""

    counted_until: datetime
    valued_until: datetime  #: The end of the last window whose further numbers were handed out.
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    fractions: Mapping[str, Fraction] = field(default_factory=dict)
    open_until: datetime | None = None
    task: asyncio.Task[Found] | None = None
    handed: tuple[datetime, Measurement] | None = None  #: At the end of which tick's window.

    def unrecorded(self, window: Window) -> Measurement | None:
        """Return what was handed out to a tick that was never recorded."""
        return self.handed[1] if self.handed and window.start < self.handed[0] else None

    def rests(self, now: datetime) -> bool:
        return self.open_until is not None and now < self.open_until


@dataclass(slots=True)
class PollingSource(Generic[C]):
    """Asks a counter for both versions, window by window."""

    counter: Counter[C]
    now: Callable[[], datetime]
    timings: PollTimings = field(default_factory=PollTimings)
    _pulls: dict[str, PollState] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.counter.config.name

    async def measure(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the counts that are ready; begins to ask for the next window when that is complete."""
        config = rollout.policy.sources.of(self.counter.config)
        if config is None or rollout.stable is None:
            return ()
        # An earlier process may have counted up to there at the latest; nothing is counted twice.
        begin = window.start - config.delay
        pull = self._pulls.setdefault(rollout.id, PollState(begin, begin))
        if unrecorded := pull.unrecorded(window):
            return (unrecorded,)
        if pull.task is None:
            span = span_of(config, rollout, window, pull.counted_until)
            if span is None or pull.rests(window.end):
                return ()
            pull.task = asyncio.create_task(self._count(config, rollout, span), name=f"{self.name} {rollout.agent}")
        await asyncio.wait([pull.task], timeout=self.timings.answer_within.total_seconds())
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

    def _handed(self, pull: PollState, found: Found, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Hand out what a finished task found, unless it is of an earlier step."""
        pull.task, pull.open_until = None, None
        measured = found.measurement
        if measured.trouble is None:
            pull.counted_until = measured.window.end
            if rollout.step_started_at and measured.window.start < rollout.step_started_at:
                return ()
            pull.fractions = found.fractions
        elif found.is_unusable:
            config, again = rollout.policy.sources.of(self.counter.config), self.timings.retry_after
            pull.open_until = window.end + (min(config.every, again) if config else again)
        if measured.canary.values or measured.stable.values:
            pull.valued_until = measured.window.end
        pull.handed = window.end, measured
        return (measured,)

    async def _count(self, config: C, rollout: Rollout, span: Window) -> Found:
        pull = self._pulls[rollout.id]
        numbers = Measurement(self.name, span)
        try:
            stable, canary = await self._both(config, rollout, span, pull.breaker)
            numbers = replace(numbers, stable=stable.numbers(), canary=canary.numbers())
            found = self._counted(numbers, rollout, (stable.beside(canary), canary), pull.fractions)
        except SourceError as error:
            return self._troubled(pull, numbers, error, config.every)
        pull.breaker.answered()
        return found

    def _troubled(self, pull: PollState, numbers: Measurement, error: SourceError, every: timedelta) -> Found:
        """Return why nothing was counted, beside the further numbers; a server that answers is never left alone."""
        span = numbers.window
        if is_unusable := isinstance(error, NotWholeError):
            pull.breaker.answered()
        else:
            pull.breaker.failed(str(error), self.now())
        # Windows of further numbers may not overlap: so many in a row decide.
        is_new = span.end - max(pull.valued_until, pull.counted_until) >= every
        kept = numbers if is_new else Measurement(self.name, span)
        # A window in which nothing was counted has no length; the next one takes in what it missed.
        troubled = replace(kept, window=Window(span.end, span.end), trouble=str(error))
        return Found(troubled, pull.fractions, is_unusable)

    def _counted(
        self, numbers: Measurement, rollout: Rollout, reported: Sequence[ReportedCounts], left: Mapping[str, Fraction]
    ) -> Found:
        """Return the counts beside the further numbers. Raises SourceError for what can be none, on either version."""
        amounts = [each.counted(numbers.window) for each in reported]
        counts, fractions = [], {}
        for version, (calls, failures) in zip((rollout.stable or "", rollout.canary), amounts, strict=True):
            whole, failed, fractions[version] = left.get(version, Fraction()).taken(calls, failures)
            causes = ((f"failed by {self.name}", failed),) if failed else ()
            counts.append(Counts(calls=whole, failures=failed, causes=causes))
        stable, canary = counts[0] + numbers.stable, counts[1] + numbers.canary
        return Found(replace(numbers, stable=stable, canary=canary), fractions)

    async def _both(
        self, config: C, rollout: Rollout, span: Window, breaker: CircuitBreaker
    ) -> tuple[ReportedCounts, ReportedCounts]:
        """Return what is reported of stable and canary, or of neither. Raises SourceError."""
        if rests := breaker.rejection(self.now()):
            raise SourceError(rests)
        asked = [CountQuery(rollout.agent, version, span) for version in (rollout.stable or "", rollout.canary)]
        found = await asyncio.gather(*(self.counter.count(config, each) for each in asked), return_exceptions=True)
        reported = [each for each in found if isinstance(each, ReportedCounts)]
        if len(reported) == len(asked):
            return reported[0], reported[1]
        # What keeps the server from answering says more than what is wrong with an answer.
        faults = [each for each in found if isinstance(each, BaseException)]
        fault = min(faults, key=lambda each: isinstance(each, NotWholeError))
        raise fault if isinstance(fault, SourceError) else self._unforeseen(rollout, fault)

    def _unforeseen(self, rollout: Rollout, fault: BaseException) -> SourceError:
        # A foreign server's answer may surprise us; a source that fell silent for good would be worse.
        log.error("source.crashed", source=self.name, agent=rollout.agent, exc_info=fault)
        return SourceError(f"the answer cannot be read ({type(fault).__name__})")


def span_of(config: PolledConfig, rollout: Rollout, window: Window, counted_until: datetime) -> Window | None:
    """Return the next window to count, of whole seconds and at least ``config.every``; None: it is not complete yet."""
    begin = max(counted_until, rollout.step_started_at or counted_until)
    begin, end = _whole(begin + SECOND - begin.resolution), _whole(window.end - config.delay)
    return Window(begin, end) if end - begin >= config.every else None


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)
