"""Sandboxes of both versions, opened by number and asked once: before the first user meets a canary, and on and on.

It goes on in the background and never keeps a tick waiting. What is opened is given back at once.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.core.deciding.readiness import Readiness, Sandboxes
from foundry_rollouts.core.model.failures import COLD
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.sources import HARMLESS, Prompt
from foundry_rollouts.errors import OUR_OWN_STATUSES, CloudError, Refusal
from foundry_rollouts.ports import Sessions
from foundry_rollouts.signals.limits import RateLimiter, cloud_budget
from foundry_rollouts.signals.own_sessions import LOOK
from foundry_rollouts.signals.probe import NO_SANDBOX
from foundry_rollouts.signals.probe_target import CALL_LIMIT
from foundry_rollouts.signals.reported import SourceError
from foundry_rollouts.signals.wakeups import Wake, no_wake

log = structlog.get_logger()

#: We may not open sessions, or the endpoint has none: one of our own rights, or a region without the feature.
BARRED = {401, 403, 405, 501}
#: The cloud's word for a version that is still being swapped in, and the text of its older dialect.
NOT_YET, SWAPPING = "AgentVersionNotReady", "still being provisioned"


@dataclass(frozen=True, slots=True)
class ReadyTimings:
    """How long a check of sandboxes waits for what it asks, and pauses between tries."""

    first_wait: timedelta = timedelta(seconds=1)  #: How long the first check keeps a tick waiting at most.
    opening_limit: timedelta = timedelta(minutes=1)  #: How long one try may take to open a sandbox.
    call_limit: timedelta = CALL_LIMIT
    retry_after: timedelta = timedelta(seconds=5)  #: The pause before the next try, at most.
    unwanted_after: timedelta = timedelta(minutes=5)  #: A rollout that nobody asks about is another replica's.


DEFAULT_TIMINGS = ReadyTimings()


@dataclass(slots=True)
class ProbeTarget:
    """One version's sandboxes."""

    version: str
    since: datetime
    ready_in: timedelta | None = None
    ready_at: datetime | None = None
    trouble: str | None = None
    status: int | None = 0  #: Of the last refusal; None: our own trouble; 0: there was none.
    opened: int = 0
    is_tried: asyncio.Event = field(default_factory=asyncio.Event)

    def settle(self, refusal: Refusal | None, begun: datetime, now: datetime) -> None:
        """Take note of a try that began at ``begun``; without trouble, a sandbox answered."""
        if refusal is None:
            self.ready_in, self.ready_at, self.trouble, self.status = now - begun, now, None, 0
        else:
            self.since = self.since if self.ready_in is None else begun
            self.ready_in = None
            self.trouble, self.status = _words(refusal), refusal.status
        self.is_tried.set()


@dataclass(slots=True)
class Watch:
    """One rollout whose sandboxes are checked."""

    rollout: Rollout
    nonce: str
    within: timedelta
    arms: tuple[ProbeTarget, ...]  #: The canary's, and stable's where there is one.
    wanted_at: datetime  #: When somebody last asked.
    left: set[str] = field(default_factory=set)  #: Sessions to give back.
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class ReadyCheck:
    """Opens sandboxes of a rollout's versions and asks them, again and again, as long as it is asked for."""

    def __init__(
        self,
        sessions: Sessions,
        now: Callable[[], datetime],
        wake: Wake = no_wake,
        budget: RateLimiter | None = None,
        timings: ReadyTimings = DEFAULT_TIMINGS,
    ) -> None:
        self._sessions = sessions
        self._now = now
        self._wake = wake
        self._budget = budget or cloud_budget(now)
        self._timings = timings
        self._watches: dict[str, Watch] = {}

    async def check(self, rollout: Rollout) -> Readiness | None:
        """Return how sandboxes fare; the first call begins to check. None where the policy wants no check."""
        within = rollout.policy.ready_within
        if within is None:
            return None
        versions = tuple(version for version in (rollout.canary, rollout.stable) if version is not None)
        watch = self._watches.get(rollout.id)
        if watch is not None and tuple(arm.version for arm in watch.arms) != versions:
            await self.release(rollout.id)
            watch = None
        if watch is None:
            watch = self._begin(rollout, versions, within)
            if not rollout.step:
                await _first(watch, self._timings.first_wait)
        watch.wanted_at = self._now()
        return _seen(watch)

    async def release(self, rollout: str) -> None:
        """Stop checking, and release what is open."""
        if watch := self._watches.pop(rollout, None):
            for task in watch.tasks:
                task.cancel()
            await asyncio.wait(watch.tasks)
            await asyncio.gather(*(self._give_back(watch, session) for session in tuple(watch.left)))

    async def close(self) -> None:
        await asyncio.gather(*(self.release(rollout) for rollout in list(self._watches)))

    def _begin(self, rollout: Rollout, versions: tuple[str, ...], within: timedelta) -> Watch:
        now = self._now()
        arms = tuple(ProbeTarget(each, now) for each in versions)
        watch = Watch(rollout, f"{int(now.timestamp() * 1000):x}", within, arms, now)
        watch.tasks = [
            asyncio.create_task(self._keep_asking(watch, arm), name=f"ready {rollout.agent}") for arm in watch.arms
        ]
        self._watches[rollout.id] = watch
        return watch

    async def _keep_asking(self, watch: Watch, arm: ProbeTarget) -> None:
        while self._now() - watch.wanted_at < self._timings.unwanted_after + watch.within:
            begun, was_ready = self._now(), arm.ready_in is not None
            arm.settle(await self._try(watch, arm), begun, self._now())
            if was_ready is (arm.ready_in is None):
                self._wake(watch.rollout.id)
            again = min(self._timings.retry_after, watch.within / 10)
            pause = watch.within / 2 if arm.ready_in is not None else again
            await asyncio.sleep(pause.total_seconds())
        if self._watches.get(watch.rollout.id) is watch:
            del self._watches[watch.rollout.id]

    async def _try(self, watch: Watch, arm: ProbeTarget) -> Refusal | None:
        """Open a sandbox and ask it; return why that came to nothing, None when it answered."""
        arm.opened += 1
        session = f"{LOOK}{watch.rollout.id}-{watch.nonce}-{arm.version}-{arm.opened}"
        watch.left.add(session)
        try:
            return await self._ask(watch, arm, session)
        except TimeoutError:
            return None  # It was asked and is slow to answer: that is for the judge.
        except SourceError as error:
            return Refusal(0, None, f"{error} to open it")
        except CloudError as error:
            return error.refusal
        except Exception as error:
            # What the cloud sends may surprise us, and that is never held against a canary.
            log.exception("ready.crashed", agent=watch.rollout.agent)
            return Refusal(None, None, f"{type(error).__name__} in the service itself")
        finally:
            await self._give_back(watch, session)

    async def _ask(self, watch: Watch, arm: ProbeTarget, session: str) -> Refusal | None:
        agent, prompt = watch.rollout.agent, _prompt_of(watch.rollout)
        async with self._budget.turn(min(self._timings.opening_limit, watch.within)):
            await self._sessions.open_session(agent, arm.version, session)
        await self._budget.take()
        limit = prompt.expect.max_time or self._timings.call_limit
        answer = await self._sessions.ask(agent, session, prompt.input, limit)
        is_refused = answer.status in COLD | OUR_OWN_STATUSES or answer.code in {*NO_SANDBOX, NOT_YET}
        if is_refused or (answer.status == 400 and SWAPPING in answer.text):
            return Refusal(answer.status, answer.code, "not ready")
        if answer.version not in {None, arm.version} or answer.serving.is_fallback:
            return Refusal(None, None, f"version {answer.version} answered in a session of version {arm.version}")
        return None

    async def _give_back(self, watch: Watch, session: str) -> None:
        self._budget.spend()
        watch.left.discard(session)
        with suppress(CloudError):
            await self._sessions.delete_session(watch.rollout.agent, session)


async def _first(watch: Watch, limit: timedelta) -> None:
    """Wait a moment for the first of all tries."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit.total_seconds()):
            await asyncio.gather(*(arm.is_tried.wait() for arm in watch.arms))


def _prompt_of(rollout: Rollout) -> Prompt:
    plan = rollout.policy.sources.probe
    return plan.prompts[0] if plan else HARMLESS


def _seen(watch: Watch) -> Readiness:
    # Where both get the same "not found", it is the sessions that are not there.
    is_without = all(arm.status in {404, *BARRED} for arm in watch.arms)
    canary, *stable = (_sandboxes(arm, is_without=is_without) for arm in watch.arms)
    return Readiness(canary, stable[0] if stable else None)


def _sandboxes(arm: ProbeTarget, *, is_without: bool) -> Sandboxes:
    is_barred = arm.status in BARRED or (arm.status == 404 and is_without)
    is_ours = arm.status in {None, 429}
    return Sandboxes(arm.since, arm.ready_in, arm.ready_at, arm.trouble, is_ours, is_barred)


def _words(refusal: Refusal) -> str:
    """Return a refusal in a few words."""
    if not refusal.status:
        return refusal.message
    return " ".join(filter(None, (f"HTTP {refusal.status}", refusal.code)))
