"""Our own invocations of a session pinned to each version, stable and canary in pairs.

A pair meets the same moment: what troubles both, or is our own trouble, is no evidence against either.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle

import structlog

from foundry_rollouts.core.model.failures import COLD, MODEL_LIMIT
from foundry_rollouts.core.model.measurement import Measurement, Sample, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import ProbeConfig, Prompt
from foundry_rollouts.errors import OUR_OWN_STATUSES, CloudError, Refusal, UsageError
from foundry_rollouts.ports import Sessions, SessionSeen
from foundry_rollouts.ports.outcomes import STARTUP_BUDGET
from foundry_rollouts.signals.answers import is_model_limit
from foundry_rollouts.signals.expectations import flaw
from foundry_rollouts.signals.limits import CircuitBreaker, RateLimiter, cloud_breaker, cloud_budget
from foundry_rollouts.signals.reported import SourceError
from foundry_rollouts.signals.samples import SampleBuffer
from foundry_rollouts.signals.units import Seen
from foundry_rollouts.signals.wakeups import Wake, no_wake

log = structlog.get_logger()

#: The prefix of every probe session's id, so that everybody can tell them from users' sessions.
PREFIX = "probe-"
#: Of those, the ones that are opened to see whether sandboxes become ready; what they log is no evidence.
LOOK = f"{PREFIX}ready-"
#: A new sandbox is met from time to time; every call in one would only tell of that one.
CALLS_PER_SESSION = 20
#: How long a call may take when the prompt does not say.
CALL_LIMIT = timedelta(seconds=60)
#: The session has no sandbox that could answer; another session may.
NO_SANDBOX = {"session_creation_failed", "session_not_accessible", "not_found"}


@dataclass(frozen=True, slots=True)
class ProbeTimings:
    """How long the probe waits for what it asks."""

    call_limit: timedelta = CALL_LIMIT
    network_grace: timedelta = timedelta(seconds=5)  #: What the network may take beyond a prompt's own limit.
    opening_limit: timedelta = timedelta(minutes=5)  #: Longer than any call: the session's sandbox may be cold.


DEFAULT_TIMINGS = ProbeTimings()


def may_stream(prompt: Prompt) -> bool:
    """Whether a prompt may be answered bit by bit: no words can be searched in what Invocations stream."""
    expect = prompt.expect
    return isinstance(prompt.input, str) or (expect.contains is None and expect.regex is None and expect.schema is None)


@dataclass(slots=True)
class ProbeTarget:
    """One version's side of the pairs: its open session and how often it was asked."""

    version: str
    session: str | None = None
    met: str = ""  #: The version that the session is bound to, by the cloud's own word.
    calls: int = 0
    opened: int = 0
    cold_since: datetime | None = None
    left: list[str] = field(default_factory=list)  #: Sessions to give back, the present one included.


@dataclass(slots=True)
class Watch:
    """One rollout under probe."""

    rollout: Rollout
    plan: ProbeConfig
    tallies: SampleBuffer
    arms: tuple[ProbeTarget, ...]
    nonce: str
    breaker: CircuitBreaker = field(default_factory=cloud_breaker)
    task: asyncio.Task[None] | None = field(default=None)


class ProbeSource:
    """Asks both versions the policy's prompts, every so often, as long as a rollout is watched."""

    name = "probe"

    def __init__(
        self,
        sessions: Sessions,
        now: Callable[[], datetime],
        wake: Wake = no_wake,
        budget: RateLimiter | None = None,
        timings: ProbeTimings = DEFAULT_TIMINGS,
    ) -> None:
        self._sessions = sessions
        self._now = now
        self._wake = wake
        self._budget = budget or cloud_budget(now)
        self._timings = timings
        self._watches: dict[str, Watch] = {}

    async def measure(self, rollout: Rollout, window: Window) -> tuple[Measurement, ...]:
        """Return the pairs counted in ``window``; the first call begins to probe."""
        plan = rollout.policy.sources.probe
        if plan is None or rollout.stable is None:
            return ()
        if rollout.id not in self._watches:
            arms = (ProbeTarget(rollout.stable), ProbeTarget(rollout.canary))
            nonce = f"{int(self._now().timestamp() * 1000):x}"
            watch = Watch(rollout, plan, SampleBuffer.of("probe"), arms, nonce)
            watch.task = asyncio.create_task(self._probe(watch), name=f"probe {rollout.agent}")
            self._watches[rollout.id] = watch
        return self._watches[rollout.id].tallies.collect(rollout, window)

    async def release(self, rollout: str) -> None:
        """Stop probing and give the sessions back."""
        if watch := self._watches.pop(rollout, None):
            if watch.task:
                watch.task.cancel()
                await asyncio.wait([watch.task])
            await asyncio.gather(*(self._leave(watch, arm) for arm in watch.arms))

    async def close(self) -> None:
        await asyncio.gather(*(self.release(rollout) for rollout in list(self._watches)))

    async def _probe(self, watch: Watch) -> None:
        await self._clear(watch)
        asked: Counter[int] = Counter()
        for place, prompt in cycle(enumerate(watch.plan.prompts)):
            for _ in range(watch.plan.pairs):
                # Every prompt is asked in both forms by turns, and of the prompts half begin with the other one.
                await self._pair(watch, prompt, stream=may_stream(prompt) and (asked[place] + place) % 2 == 1)
                asked[place] += 1
            await asyncio.sleep(watch.plan.every.total_seconds())

    async def _clear(self, watch: Watch) -> None:
        """Give back what an earlier process of ours may have left open."""
        agent = watch.rollout.agent
        with suppress(CloudError):
            async for session in self._sessions.sessions(agent):
                if session.id.startswith(f"{PREFIX}{watch.rollout.id}-"):
                    await self._sessions.delete_session(agent, session.id)

    async def _pair(self, watch: Watch, prompt: Prompt, *, stream: bool) -> None:
        """Count one call on each version, both in the same form, or neither; they began when the pair did."""
        if rests := watch.breaker.rejection(self._now()):
            watch.tallies.trouble = rests
            return
        began_at = self._now()
        # Both calls are waited for, so that the next pair never meets a call of this one.
        calls = (self._call(watch, arm, prompt, stream=stream) for arm in watch.arms)
        said = await asyncio.gather(*calls, return_exceptions=True)
        if faults := [each for each in said if isinstance(each, BaseException)]:
            watch.tallies.trouble = self._trouble(watch, faults[0])
            watch.breaker.failed(watch.tallies.trouble, self._now())
            return
        watch.breaker.answered()
        samples = [each for each in said if isinstance(each, Sample)]
        if len(samples) == len(watch.arms):
            watch.tallies.trouble = _mistaken(watch.arms)
            for arm, sample in zip(watch.arms, samples, strict=True):
                # What answered counts, whichever version was asked for.
                watch.tallies.add(Seen(self._now(), "probe", arm.met or arm.version, sample, began_at))
            if samples[-1].cause:  # The canary's.
                self._wake(watch.rollout.id)

    def _trouble(self, watch: Watch, fault: BaseException) -> str:
        if isinstance(fault, CloudError | SourceError):
            return str(fault)
        # What the cloud sends may surprise us; a source that fell silent for good would be worse.
        log.error("source.crashed", source=self.name, agent=watch.rollout.agent, exc_info=fault)
        return f"the probe cannot ask: {type(fault).__name__}"

    async def _call(self, watch: Watch, arm: ProbeTarget, prompt: Prompt, *, stream: bool) -> Sample | None:
        """Return the sample of one call; None while the version warms up. Raises CloudError for our own faults.

        A sandbox that failed once may be broken for good: its failures would all tell of that one, so that the next
        call is made in another.
        """
        sample = await self._asked(watch, arm, prompt, stream=stream)
        if sample is None or sample.cause:
            arm.session = None
        return sample

    async def _asked(self, watch: Watch, arm: ProbeTarget, prompt: Prompt, *, stream: bool) -> Sample | None:
        timeout = prompt.expect.max_time or self._timings.call_limit
        try:
            session = await self._session(watch, arm)
            await self._budget.take()
            async with asyncio.timeout((timeout + self._timings.network_grace).total_seconds()):
                answer = await self._sessions.ask(watch.rollout.agent, session, prompt.input, timeout, stream=stream)
        except TimeoutError:
            return Sample(cause=f"no answer within {timeout.total_seconds():g} s")
        except CloudError as error:
            arm.session = None
            if error.is_ours:
                raise
            return self._failed(arm, error.refusal.status, error.refusal.code)
        arm.met = answer.version or arm.met
        if answer.status in OUR_OWN_STATUSES:
            raise CloudError("probe", Refusal(answer.status, answer.code, "the probe's own call was refused"))
        if answer.status in COLD or answer.code in NO_SANDBOX:
            return self._failed(arm, answer.status, answer.code)
        arm.cold_since = None
        try:
            cause = flaw(answer, prompt)
        except UsageError as error:
            raise SourceError(f"prompt {prompt.name} cannot be checked: {error}") from error
        cause = MODEL_LIMIT if cause is not None and is_model_limit(answer) else cause
        return Sample(cause=cause, latency=answer.latency)

    def _failed(self, arm: ProbeTarget, status: int | None, code: str | None) -> Sample | None:
        """Count a failed call, unless the version may still be warming up."""
        if status in COLD:
            arm.cold_since = arm.cold_since or self._now()
            if self._now() - arm.cold_since < STARTUP_BUDGET:
                return None
        what = " ".join(filter(None, (f"HTTP {status}", code)))
        # That no sandbox answered is no mistake of the caller's, whatever its status.
        return Sample(cause=f"no sandbox, {what}" if code in NO_SANDBOX else what)

    async def _session(self, watch: Watch, arm: ProbeTarget) -> str:
        """Return the arm's session; a new one after a failure, or when the old one was asked often enough."""
        if arm.session is None or arm.calls >= CALLS_PER_SESSION:
            await self._leave(watch, arm)
        if arm.session is None:
            arm.opened, arm.calls, arm.met = arm.opened + 1, 0, arm.version
            wanted = f"{PREFIX}{watch.rollout.id}-{watch.nonce}-{arm.version}-{arm.opened}"
            async with self._budget.turn(self._timings.opening_limit):
                arm.left.append(wanted)
                opened = await self._opened(watch.rollout.agent, arm.version, wanted)
            arm.session, arm.met = opened.id, opened.version
        arm.calls += 1
        return arm.session

    async def _opened(self, agent: str, version: str, wanted: str) -> SessionSeen:
        """Open a session; one that is under way as the probe ends is waited for a little, so that it is given back."""
        opening = asyncio.ensure_future(self._sessions.open_session(agent, version, wanted))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening], timeout=self._timings.network_grace.total_seconds())
            opening.cancel()
            raise

    async def _leave(self, watch: Watch, arm: ProbeTarget) -> None:
        """Give back the sessions of an arm; a session that cannot be given back ends by itself when idle."""
        arm.session = None
        while arm.left:
            # A rollout that has ended waits for nobody's turn.
            self._budget.spend()
            with suppress(CloudError):
                await self._sessions.delete_session(watch.rollout.agent, arm.left.pop())


def _mistaken(arms: Sequence[ProbeTarget]) -> str | None:
    """Say that a version was asked and another one answered; None where each answered for itself."""
    wrong = next((arm for arm in arms if arm.met and arm.met != arm.version), None)
    return (
        None
        if wrong is None
        else f"version {wrong.version} was asked, in a session of its own, and version {wrong.met} answered"
    )
