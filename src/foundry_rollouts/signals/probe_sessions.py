"""The sessions in which the probe asks: opened by a call that names its version, or by number, and given back.

A call that names its version counts only by the word of its own answer: where the service fell back, where another
version served, and where the answer does not say which, it counts for no version, and the next session is opened by
number. Nothing is asked twice for that.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from foundry_rollouts.core.model.sources import Prompt
from foundry_rollouts.errors import OUR_OWN_STATUSES, CloudError
from foundry_rollouts.ports import Answer, Sessions
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.obedience import Obedient, Objection, endpoint_of, objection_of
from foundry_rollouts.signals.own_sessions import PREFIX, OwnSessions
from foundry_rollouts.signals.probe_target import ProbeTarget, ProbeTimings, Watch

T = TypeVar("T")
log = structlog.get_logger()


class ProbeSessions:
    """Opens the sessions of arms, asks in them, and gives them back. Raises CloudError."""

    def __init__(
        self, sessions: Sessions, now: Callable[[], datetime], budget: RateLimiter, timings: ProbeTimings
    ) -> None:
        self._sessions = OwnSessions.over(sessions, now)
        self._obedient = Obedient(now)
        self._now = now
        self._budget = budget
        self._timings = timings

    async def clear(self, watch: Watch) -> None:
        """Give back what an earlier process of ours may have left open."""
        agent = watch.rollout.agent
        with suppress(CloudError):
            async for session in self._sessions.sessions(agent):
                if session.id.startswith(f"{PREFIX}{watch.rollout.id}-"):
                    await self._sessions.delete_session(agent, session.id)

    async def find_out(self, watch: Watch) -> bool:
        """Ask each version by a header where it is not known whether the endpoint obeys; return whether that is news.

        Where it obeys, the sessions are of use.
        """
        if not self._obedient.is_due(endpoint_of(watch.rollout)):
            return False
        question, limit = watch.plan.prompts[0].input, self._timings.self_test_limit
        calls = (self._by_header(watch, arm, question, limit, stream=False) for arm in watch.arms)
        said = await asyncio.gather(*calls, return_exceptions=True)
        objections = [self._seated(arm, each) for arm, each in zip(watch.arms, said, strict=True)]
        wrong = next(((arm, each) for arm, each in zip(watch.arms, objections, strict=True) if each), None)
        if wrong is None:
            self._obedient.learn(endpoint_of(watch.rollout), None)
            return False
        for arm in watch.arms:
            await self.leave(watch, arm)
        return self._disobeyed(watch, *wrong)

    def opens_by_header(self, watch: Watch, arm: ProbeTarget) -> bool:
        """Whether the arm's next call opens its session."""
        return arm.session is None and not arm.is_by_number and self._obedient.includes(endpoint_of(watch.rollout))

    async def ask_by_header(
        self, watch: Watch, arm: ProbeTarget, prompt: Prompt, *, stream: bool
    ) -> tuple[Answer | None, bool]:
        """Ask in a new session that the version is asked to serve; None where the answer is not surely that version's.

        The second part is whether that is news for the rollout.
        """
        try:
            answer = await self._by_header(watch, arm, prompt.input, self._timings.call_limit, stream=stream)
        except (TimeoutError, CloudError) as error:
            if isinstance(error, CloudError) and error.is_ours:
                raise
            arm.is_by_number = True
            return None, False
        if answer.status in OUR_OWN_STATUSES:
            return answer, False
        objection = self._seated(arm, answer)
        if objection is None:
            return answer, False
        arm.is_by_number = True
        if answer.status >= 300 and not objection.is_told:
            return None, False  # Whoever failed, it does not say so; that says nothing of the endpoint.
        return None, self._disobeyed(watch, arm, objection)

    async def by_number(self, watch: Watch, arm: ProbeTarget) -> str:
        """Return the arm's session, or a new one by the version's number."""
        if arm.session is None:
            arm.opened, arm.calls, arm.met = arm.opened + 1, 0, arm.version
            wanted = f"{PREFIX}{watch.rollout.id}-{watch.nonce}-{arm.version}-{arm.opened}"
            async with self._budget.turn(self._timings.opening_limit):
                arm.left.append(wanted)
                opening = self._sessions.open_session(watch.rollout.agent, arm.version, wanted)
                opened = await self._seen_through(opening)
            arm.session, arm.met = opened.id, opened.version
        arm.calls += 1
        return arm.session

    async def ask(self, watch: Watch, session: str, prompt: Prompt, timeout: timedelta, *, stream: bool) -> Answer:
        """Ask in a session that is open."""
        await self._budget.take()
        async with asyncio.timeout((timeout + self._timings.network_grace).total_seconds()):
            return await self._sessions.ask(watch.rollout.agent, session, prompt.input, timeout, stream=stream)

    async def leave(self, watch: Watch, arm: ProbeTarget) -> None:
        """Give back the sessions of an arm; a session that cannot be given back ends by itself when idle."""
        arm.session = None
        while arm.left:
            # A rollout that has ended waits for nobody's turn.
            self._budget.spend()
            session = arm.left[-1]
            with suppress(CloudError):
                await self._sessions.delete_session(watch.rollout.agent, session)
            # Not before: a probe that ends meanwhile gives it back.
            arm.left.remove(session)

    async def _by_header(
        self, watch: Watch, arm: ProbeTarget, question: Any, limit: timedelta, *, stream: bool
    ) -> Answer:
        async def ask() -> Answer:
            answer = await self._sessions.ask_version(watch.rollout.agent, arm.version, question, limit, stream=stream)
            arm.left += [answer.session] if answer.session else []
            return answer

        await self._budget.take()
        async with asyncio.timeout((limit + self._timings.network_grace).total_seconds()):
            return await self._seen_through(ask())

    def _seated(self, arm: ProbeTarget, answer: Answer | BaseException) -> Objection | None:
        """Take the session of an answer for the arm's own; return why that cannot be done, None when it is."""
        if isinstance(answer, BaseException):
            return Objection(str(answer) if isinstance(answer, CloudError) else type(answer).__name__)
        if objection := objection_of(answer, arm.version):
            return objection
        arm.opened, arm.calls, arm.session, arm.met = arm.opened + 1, 1, answer.session, arm.version
        arm.is_by_number = False
        return None

    def _disobeyed(self, watch: Watch, arm: ProbeTarget, objection: Objection) -> bool:
        """Remember that the endpoint did not obey, and tell the rollout where that is news."""
        if not self._obedient.learn(endpoint_of(watch.rollout), objection):
            return False
        asked = f"the probe asked for version {arm.version} by x-agent-version-override, and {objection.because}"
        because = f"{asked}: that call counts for no version, and sessions are opened by the version's number"
        log.warning("probe.disobeyed", agent=watch.rollout.agent, because=because)
        watch.tallies.note(self._now(), because)
        return True

    async def _seen_through(self, opening: Coroutine[Any, Any, T]) -> T:
        """Open a session; one that is under way as the probe ends is waited for a little, so that it is given back."""
        task = asyncio.ensure_future(opening)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=self._timings.network_grace.total_seconds())
            task.cancel()
            raise
