"""The announcer: sends each target what it is to hear, tries again, and reminds.

At least once: a notice is behind us when its target has taken it, not before. Each target has its own queue and its own
room, so that one which is dead or slow delays no other.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from foundry_rollouts.core.model.notice import Severity, severity_of
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.links import Links
from foundry_rollouts.notify.dispatcher import BACKOFF, CHECK_EVERY, MARGIN, UndeliveredError
from foundry_rollouts.notify.leading import link_of
from foundry_rollouts.notify.targets import Target
from foundry_rollouts.notify.wording import Words, words_of
from foundry_rollouts.ports import News, Notice, NoticeBox, TargetShown
from foundry_rollouts.telemetry import Delivery, Metrics
from foundry_rollouts.untrusted import clean

log = structlog.get_logger()

#: How many messages to one target are on their way at once.
ROOM = 4
#: How many events become notices in one transaction.
NEWS = 100
#: How often to forget what is over, and how long it is kept.
FORGET_EVERY, KEPT = timedelta(hours=1), timedelta(days=30)


class Voice(Protocol):
    """What says words to one target."""

    @property
    def limit(self) -> timedelta:
        """How long one attempt may take."""

    async def say(self, words: Words, key: str) -> None:
        """Return when the target took ``words``; raise UndeliveredError when it did not."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Speaker:
    """A target, and what reaches it."""

    target: Target
    voice: Voice


@dataclass(slots=True)
class Announcer:
    """Implements ``ports.Notifier`` and ``ports.Targets`` for the targets that are configured."""

    box: NoticeBox
    speakers: Sequence[Speaker]
    metrics: Metrics
    now: Callable[[], datetime]
    patience: timedelta  #: How long a message is tried again.
    chance: Callable[[], float]
    links: Links | None = None  #: Where messages lead; None: they carry no link.
    check_every: timedelta = CHECK_EVERY
    _sending: dict[str, set[asyncio.Task[None]]] = field(default_factory=dict, init=False)
    _lost: set[str] = field(default_factory=set, init=False)
    _forgotten_at: datetime | None = field(default=None, init=False)

    async def drain(self) -> None:
        """Send every notice that is due, and what becomes due meanwhile; one that hangs holds up no other."""
        try:
            while True:
                await self._begin()
                busy = [task for tasks in self._sending.values() for task in tasks]
                if not busy:
                    return
                seconds = self.check_every.total_seconds()
                done, _ = await asyncio.wait(busy, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                for name in self._sending:
                    self._sending[name] -= done
                for task in done:
                    task.result()
        finally:
            left = [task for tasks in self._sending.values() for task in tasks]
            self._sending.clear()
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def aclose(self) -> None:
        for speaker in self.speakers:
            await speaker.voice.aclose()

    def shown(self) -> Sequence[TargetShown]:
        """Return the targets as people see them."""
        return [_shown(speaker.target) for speaker in self.speakers]

    async def test(self, name: str) -> None:
        """Send a test message to the target of that name, whatever the hour. Raises NotFoundError, UnavailableError."""
        speaker = next((each for each in self.speakers if each.target.name == name), None)
        if speaker is None:
            known = ", ".join(each.target.name for each in self.speakers) or "none"
            raise NotFoundError(f"there is no target {name}; targets: {known}")
        text = f"This is a test of the target {name}. Nothing happened.\n{self.now():%Y-%m-%d %H:%M:%S} UTC"
        try:
            await speaker.voice.say(
                Words("foundry-rollouts: test", text, Severity.INFO), f"test_{self.now().timestamp()}"
            )
        except UndeliveredError as error:
            raise UndeliveredError(f"target {name}: {error}") from None

    def _choose(self, news: News) -> Sequence[str]:
        return [each.target.name for each in self.speakers if each.target.hears(news)]

    async def _begin(self) -> None:
        """Turn news into notices, and begin to send what is due and has room."""
        now = self.now()
        await self._forget(now)
        work = await self.box.notice_work(now)
        left = work.news if self.speakers else 0
        while left > 0:
            left -= await self.box.distribute(now, NEWS, self._choose) or left
        if work.news and self.speakers:
            work = await self.box.notice_work(now)
        waiting = {state.target: state for state in work.targets}
        for speaker in self.speakers:
            name = speaker.target.name
            state = waiting.get(name)
            oldest = (state.oldest if state else None) or now
            self.metrics.notices(name, state.pending if state else 0, now - oldest)
            if state is not None:
                await self._send_due(speaker, now)

    async def _send_due(self, speaker: Speaker, now: datetime) -> None:
        sending = self._sending.setdefault(speaker.target.name, set())
        room = ROOM - len(sending)
        if room <= 0:
            return
        until = now + speaker.voice.limit + MARGIN
        for notice in await self.box.take_notices(speaker.target.name, now, room, until):
            sending.add(asyncio.create_task(self._send(notice, speaker, until)))

    async def _send(self, notice: Notice, speaker: Speaker, until: datetime) -> None:
        now = self.now()
        if now + speaker.voice.limit > until:
            return  # The process stood still; others may claim the notice before the attempt would end.
        if quiet := _quiet_until(notice, speaker.target, now):
            await self.box.put_off(notice, quiet, None)
            return
        try:
            if not (speaker.target.mark and notice.is_reminder):  # A mark of something that lasts is there already.
                link = None if speaker.target.mark else link_of(self.links, notice, now)
                await speaker.voice.say(words_of(notice, link), notice.key)
        except UndeliveredError as error:
            await self._try_later(notice, error)
            return
        await self.box.mark_sent(notice, self.now())
        self.metrics.noticed(notice.target, Delivery.DELIVERED)
        if notice.target in self._lost:
            self._lost.discard(notice.target)
            log.info("target.found", target=notice.target, because="it takes messages again")

    async def _try_later(self, notice: Notice, error: UndeliveredError) -> None:
        now, because = self.now(), clean(str(error))
        if notice.target not in self._lost:
            self._lost.add(notice.target)
            log.warning("target.lost", target=notice.target, because=because)
        if now - notice.since >= self.patience:
            await self.box.drop(notice, now, because)
            self.metrics.noticed(notice.target, Delivery.GIVEN_UP)
            log.warning("notice.given_up", target=notice.target, of=notice.event.id, because=because)
            return
        pause = BACKOFF.pause(notice.attempts, error.retry_after, part=0.5 + self.chance() / 2)
        await self.box.put_off(notice, now + pause, because)
        self.metrics.noticed(notice.target, Delivery.FAILED)

    async def _forget(self, now: datetime) -> None:
        if self._forgotten_at is not None and now - self._forgotten_at < FORGET_EVERY:
            return
        await self.box.forget_notices([speaker.target.name for speaker in self.speakers], now - KEPT)
        self._forgotten_at = now


def _quiet_until(notice: Notice, target: Target, now: datetime) -> datetime | None:
    """Return until when a notice is held; what is critical, a rollback first of all, never is."""
    if severity_of(notice.event) is Severity.CRITICAL or target.quiet is None:
        return None
    return target.quiet.until(now)


def _shown(target: Target) -> TargetShown:
    phases = [phase.value for phase in target.phases]
    return TargetShown(target.name, target.kind, target.severity.value, target.policies, phases, target.quiet_text)
