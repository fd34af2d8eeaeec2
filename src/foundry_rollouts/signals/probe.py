"""Our own invocations of each version, stable and canary in pairs.

A pair meets the same moment: what troubles both, or is our own trouble, is no evidence against either. Each version is
asked in a session of its own: opened by a call that names the version where the endpoint obeys that, else by the
version's number. A call counts only where nothing says that another version served it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle

import structlog

from foundry_rollouts.core.model.failures import COLD, MODEL_LIMIT
from foundry_rollouts.core.model.measurement import Measurement, Sample, Window
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import Prompt
from foundry_rollouts.errors import OUR_OWN_STATUSES, CloudError, Refusal, UsageError
from foundry_rollouts.ports import Answer, Sessions
from foundry_rollouts.ports.outcomes import STARTUP_BUDGET
from foundry_rollouts.signals.answers import is_model_limit
from foundry_rollouts.signals.expectations import flaw
from foundry_rollouts.signals.limits import RateLimiter, cloud_budget
from foundry_rollouts.signals.own_sessions import PREFIX
from foundry_rollouts.signals.probe_sessions import ProbeSessions
from foundry_rollouts.signals.probe_target import DEFAULT_TIMINGS, ProbeTarget, ProbeTimings, Watch
from foundry_rollouts.signals.reported import SourceError
from foundry_rollouts.signals.samples import SampleBuffer
from foundry_rollouts.signals.units import Seen
from foundry_rollouts.signals.wakeups import Wake, no_wake

log = structlog.get_logger()

#: The session has no sandbox that could answer; another session may.
NO_SANDBOX = {"session_creation_failed", "session_not_accessible", "not_found"}


def may_stream(prompt: Prompt) -> bool:
    """Whether a prompt may be answered bit by bit: no words can be searched in what Invocations stream."""
    expect = prompt.expect
    return isinstance(prompt.input, str) or (expect.contains is None and expect.regex is None and expect.schema is None)


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
        self._open = ProbeSessions(sessions, now, budget or cloud_budget(now), timings)
        self._now = now
        self._wake = wake
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
            await asyncio.gather(*(self._open.leave(watch, arm) for arm in watch.arms))

    async def close(self) -> None:
        await asyncio.gather(*(self.release(rollout) for rollout in list(self._watches)))

    async def _probe(self, watch: Watch) -> None:
        await self._open.clear(watch)
        asked: Counter[int] = Counter()
        for place, prompt in cycle(enumerate(watch.plan.prompts)):
            for _ in range(watch.plan.pairs):
                # Every prompt is asked in both forms by turns, and of the prompts half begin with the other one.
                await self._pair(watch, prompt, stream=may_stream(prompt) and (asked[place] + place) % 2 == 1)
                asked[place] += 1
            await asyncio.sleep(watch.plan.every.total_seconds())

    async def _pair(self, watch: Watch, prompt: Prompt, *, stream: bool) -> None:
        """Count one call on each version, both in the same form, or neither; they began when the pair did."""
        if rests := watch.breaker.rejection(self._now()):
            watch.tallies.trouble = rests
            return
        if await self._open.find_out(watch):
            self._wake(watch.rollout.id)
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
        mistake = next((arm.mistake for arm in watch.arms if arm.mistake), None)
        if mistake or len(samples) == len(watch.arms):
            watch.tallies.trouble = mistake
        if len(samples) == len(watch.arms):
            for arm, sample in zip(watch.arms, samples, strict=True):
                watch.tallies.add(Seen(self._now(), "probe", arm.version, sample, began_at))
            if samples[-1].cause:  # The canary's.
                self._wake(watch.rollout.id)

    def _trouble(self, watch: Watch, fault: BaseException) -> str:
        if isinstance(fault, CloudError | SourceError):
            return str(fault)
        # What the cloud sends may surprise us; a source that fell silent for good would be worse.
        log.error("source.crashed", source=self.name, agent=watch.rollout.agent, exc_info=fault)
        return f"the probe cannot ask: {type(fault).__name__}"

    async def _call(self, watch: Watch, arm: ProbeTarget, prompt: Prompt, *, stream: bool) -> Sample | None:
        """Return the sample of one call; None while the version warms up, and where another version answered.

        Raises CloudError for our own faults. A sandbox that failed once may be broken for good: its failures would all
        tell of that one, so that the next call is made in another.
        """
        arm.mistake = None
        sample = await self._asked(watch, arm, prompt, stream=stream)
        if sample is None or sample.cause:
            arm.session = None
        return sample

    async def _asked(self, watch: Watch, arm: ProbeTarget, prompt: Prompt, *, stream: bool) -> Sample | None:
        timeout = prompt.expect.max_time or self._timings.call_limit
        if arm.is_spent:
            await self._open.leave(watch, arm)
        if self._open.opens_by_header(watch, arm):
            return await self._asked_by_header(watch, arm, prompt, stream=stream)
        try:
            session = await self._open.by_number(watch, arm)
            answer = await self._open.ask(watch, session, prompt, timeout, stream=stream)
        except TimeoutError:
            return Sample(cause=f"no answer within {timeout.total_seconds():g} s")
        except CloudError as error:
            arm.session = None
            if error.is_ours:
                raise
            return self._failed(arm, error.refusal.status, error.refusal.code)
        arm.note(answer)
        is_lost = answer.status == 404 or answer.code in NO_SANDBOX
        if is_lost and not arm.is_by_number and not session.startswith(PREFIX):
            # Perhaps what a call opens is for that call only. Whether the version is at fault, one by number shows.
            arm.is_by_number = True
            return None
        return None if arm.mistake else self._judged(arm, answer, prompt)

    async def _asked_by_header(self, watch: Watch, arm: ProbeTarget, prompt: Prompt, *, stream: bool) -> Sample | None:
        answer, is_news = await self._open.ask_by_header(watch, arm, prompt, stream=stream)
        if is_news:
            self._wake(watch.rollout.id)
        if answer is None:
            return None
        # The sandbox may have been cold, so that the time it took says nothing.
        sample = self._judged(arm, replace(answer, latency=timedelta(0)), prompt)
        return sample and replace(sample, latency=None)

    def _judged(self, arm: ProbeTarget, answer: Answer, prompt: Prompt) -> Sample | None:
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
