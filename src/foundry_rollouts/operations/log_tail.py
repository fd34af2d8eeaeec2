"""The last log lines of both versions of a rollout, for who watches it: followed while somebody does, kept nowhere.

However many watch, the cloud is asked once. Secrets are blotted out before a line is kept.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import LogLine, Sessions, SessionSeen
from foundry_rollouts.untrusted import clean

LONGEST = 2000  #: Characters of a line that are kept.
KEPT = 200  #: Lines of each version.
FOLLOWED = 3  #: Sessions of each version, the newest that have a sandbox.
LISTED = 100  #: Sessions that are considered: the cloud lists the newest first.
LIST_EVERY = timedelta(seconds=10)
WATCHED_FOR = timedelta(seconds=60)  #: So long after the last request the sessions are followed.

_ERROR = re.compile(r"\b(?:error|critical|fatal|exception|traceback)\b", re.IGNORECASE)
_WARNING = re.compile(r"\bwarn(?:ing)?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TailLine:
    """One line; ``id`` names it to whoever continues behind it."""

    id: str
    version: str
    session: str
    at: datetime | None
    stream: str
    level: str  #: ``error``, ``warning`` or ``info``, by the words of the line.
    text: str


@dataclass(frozen=True, slots=True)
class TailedVersion:
    """How one version is followed."""

    version: str
    sessions: int  #: Live ones that are followed.
    because: str | None  #: Why there is nothing to read; None: all is well.


@dataclass(frozen=True, slots=True)
class LogTailView:
    """The last lines of the canary and of the stable version, oldest first."""

    versions: tuple[TailedVersion, ...]
    lines: tuple[TailLine, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """How many sessions have a sandbox, by version, of those that we may see."""

    sessions: Mapping[str, int]
    is_whole: bool = True  #: False: there are more sessions than were considered.


@dataclass(slots=True)
class _Tail:
    """What is followed of one rollout."""

    rollout: Rollout
    series: str  #: What tells the ids of these lines from those of an earlier tail.
    read_at: datetime
    lines: dict[str, deque[TailLine]] = field(default_factory=dict)
    streams: dict[str, tuple[str, asyncio.Task[None]]] = field(default_factory=dict)  #: By session, with its version.
    because: dict[str, str] = field(default_factory=dict)  #: By version, why it cannot be followed.
    running: Running | None = None  #: None: not listed yet.
    task: asyncio.Task[None] | None = None
    listed: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Any = field(default_factory=lambda: count(1))

    @property
    def versions(self) -> list[str]:
        return [each for each in (self.rollout.canary, self.rollout.stable) if each is not None]


def _never() -> datetime:
    return datetime.min.replace(tzinfo=UTC)


class LogTails:
    """The tails of the rollouts that somebody watches."""

    def __init__(
        self, sessions: Sessions | None = None, now: Callable[[], datetime] = _never, first_within: float = 2.0
    ) -> None:
        self._sessions = sessions
        self._now = now
        self._first_within = first_within
        self._tails: dict[str, _Tail] = {}

    async def read(self, rollout: Rollout, after: str | None = None) -> LogTailView:
        """Return the last lines behind the line ``after``; the first call begins to follow, and waits a little."""
        if self._sessions is None:
            return LogTailView(tuple(_untold(rollout, "nobody is there to ask for logs")), ())
        tail = self._tails.get(rollout.id)
        if tail is None:
            tail = self._tails[rollout.id] = _Tail(rollout, f"{self._now().timestamp():.0f}", self._now())
            tail.task = asyncio.create_task(self._follow(tail, self._sessions), name=f"tail {rollout.agent}")
            with suppress(TimeoutError):
                await asyncio.wait_for(tail.listed.wait(), self._first_within)
        tail.read_at = self._now()
        return _view(tail, after)

    def running(self, rollout_id: str) -> Running | None:
        """Return how many sessions run, as of the last listing; None where nobody watches the rollout's logs yet."""
        tail = self._tails.get(rollout_id)
        return tail.running if tail else None

    async def close(self) -> None:
        """Stop following everything."""
        tails, self._tails = list(self._tails.values()), {}
        for tail in tails:
            if tail.task:
                tail.task.cancel()
        await asyncio.gather(*(tail.task for tail in tails if tail.task), return_exceptions=True)

    async def _follow(self, tail: _Tail, sessions: Sessions) -> None:
        try:
            while self._now() - tail.read_at < WATCHED_FOR:
                await self._choose(tail, sessions)
                tail.listed.set()
                await asyncio.sleep(LIST_EVERY.total_seconds())
        finally:
            if self._tails.get(tail.rollout.id) is tail:
                del self._tails[tail.rollout.id]
            streams = [task for _, task in tail.streams.values()]
            for task in streams:
                task.cancel()
            await asyncio.gather(*streams, return_exceptions=True)

    async def _choose(self, tail: _Tail, sessions: Sessions) -> None:
        """Follow the newest live sessions of both versions, and those no more that are over."""
        try:
            live, is_whole = await _newest(sessions, tail.rollout.agent)
        except CloudError as error:
            tail.because = dict.fromkeys(tail.versions, f"sessions cannot be listed: {clean(str(error))}")
            tail.running = None
            return
        tail.running = Running(Counter(each.version for each in live), is_whole)
        tail.streams = {id_: known for id_, known in tail.streams.items() if not known[1].done()}
        for version in tail.versions:
            chosen = [each for each in live if each.version == version][:FOLLOWED]
            tail.because[version] = "" if chosen else "no session of it is live: the cloud keeps no older lines"
            for session in chosen:
                if session.id not in tail.streams:
                    task = asyncio.create_task(_read(tail, sessions, session), name=f"tail {session.id}")
                    tail.streams[session.id] = (version, task)


async def _newest(sessions: Sessions, agent: str) -> tuple[list[SessionSeen], bool]:
    """Return the newest sessions that have a sandbox, and whether all sessions were considered."""
    found: list[SessionSeen] = []
    seen = 0
    async with aclosing(_closable(sessions.sessions(agent))) as listed:
        async for session in listed:
            seen += 1
            if session.status.is_live and not session.status.is_starting:
                found.append(session)
            if seen >= LISTED:
                break
    return sorted(found, key=lambda each: each.created_at, reverse=True), seen < LISTED


async def _closable(listed: AsyncIterator[SessionSeen]) -> AsyncGenerator[SessionSeen, None]:
    async for each in listed:
        yield each


async def _read(tail: _Tail, sessions: Sessions, session: SessionSeen) -> None:
    """Keep the lines of one session until its stream ends; the next listing opens it again."""
    last = max(
        (line.at for line in tail.lines.get(session.version, ()) if line.session == session.id and line.at),
        default=None,
    )
    try:
        async with aclosing(sessions.log_lines(tail.rollout.agent, session.version, session.id)) as lines:
            async for line in lines:
                # A stream that is opened again sends what it sent before.
                if line.at is None or last is None or line.at > last:
                    kept = tail.lines.setdefault(session.version, deque(maxlen=KEPT))
                    kept.append(_line(tail, session, line))
    except CloudError as error:
        tail.because[session.version] = f"the log of a session cannot be read: {clean(str(error))}"


def _line(tail: _Tail, session: SessionSeen, line: LogLine) -> TailLine:
    text = clean(line.text)
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST} more characters)"
    return TailLine(
        id=f"{tail.series}-{next(tail.numbers)}",
        version=session.version,
        session=session.id,
        at=line.at,
        stream=line.stream,
        level=level_of(text),
        text=text,
    )


def level_of(text: str) -> str:
    """Return how grave a line is, by its words."""
    if _ERROR.search(text):
        return "error"
    return "warning" if _WARNING.search(text) else "info"


def _view(tail: _Tail, after: str | None) -> LogTailView:
    open_streams = [version for version, task in tail.streams.values() if not task.done()]
    versions = tuple(
        TailedVersion(version, open_streams.count(version), tail.because.get(version) or None)
        for version in tail.versions
    )
    lines = sorted((line for kept in tail.lines.values() for line in kept), key=_number)
    series, _, number = (after or "").rpartition("-")
    if series == tail.series and number.isdecimal():
        lines = [line for line in lines if _number(line) > int(number)]
    return LogTailView(versions, tuple(lines))


def _number(line: TailLine) -> int:
    return int(line.id.rpartition("-")[2])


def _untold(rollout: Rollout, because: str) -> Sequence[TailedVersion]:
    versions = [each for each in (rollout.canary, rollout.stable) if each is not None]
    return [TailedVersion(version, 0, because) for version in versions]
