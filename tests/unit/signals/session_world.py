"""Sessions of two versions, by hand: what is asked is answered by the test, what is logged is said by the test."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from builders import NOON, a_policy, a_rollout
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.policy import Gate, GateKind
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.sources import LogsConfig, ProbeConfig, Sources
from foundry_rollouts.errors import CloudError, Refusal
from foundry_rollouts.ports import Answer, LogLine, Serving, SessionSeen, SessionStatus, Source
from patience import PATIENCE


def a_response(text: str = "well", **but: Any) -> str:
    """Return the body of a Responses answer that says ``text``."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return json.dumps({"object": "response", "status": "completed", "output": [message], **but})


WELL = Answer(200, a_response("ok"), timedelta(milliseconds=20))


@dataclass
class Hand:
    """A clock that moves when it is told to."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def on(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class HandMadeSessions:
    """The cloud's sessions; ``answers`` and ``openings`` say by version what is answered, or raised."""

    answers: dict[str, list[Answer | CloudError]] = field(default_factory=dict)
    openings: dict[str, list[CloudError]] = field(default_factory=dict)
    live: list[SessionSeen] = field(default_factory=list)
    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    trouble: Exception | None = None  #: What a listing raises.
    breaks: dict[str, CloudError] = field(default_factory=dict)  #: How the stream of a session ends.
    asked: list[tuple[str, Any]] = field(default_factory=list)
    forms: list[tuple[str, bool]] = field(default_factory=list)  #: Of which session, and whether as a stream.
    overriding: str = "absent"  #: What becomes of a wish for a version: as the local Foundry's switch.
    wishes: list[tuple[str, Any]] = field(default_factory=list)  #: Which version was asked for by a header, and what.
    deleted: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    listings: int = 0
    told: int = 0  #: Sessions in all listings together.
    is_silent: bool = False  #: A listing never ends.
    is_mute: set[str] = field(default_factory=set)  #: Versions that never answer.

    async def sessions(self, agent: str) -> AsyncIterator[SessionSeen]:
        self.listings += 1
        if self.trouble:
            raise self.trouble
        if self.is_silent:
            await asyncio.Event().wait()
        for session in sorted(self.live, key=lambda each: each.created_at, reverse=True):
            self.told += 1
            yield session

    async def open_session(self, agent: str, version: str, session: str) -> SessionSeen:
        if refusals := self.openings.get(version):
            raise refusals.pop(0) if len(refusals) > 1 else refusals[0]
        return SessionSeen(session, version, NOON, SessionStatus.ACTIVE)

    async def stop_session(self, agent: str, session: str) -> None: ...

    async def delete_session(self, agent: str, session: str) -> None:
        self.deleted.append(session)

    async def ask_version(
        self, agent: str, version: str, question: Any, timeout: timedelta, *, stream: bool = False
    ) -> Answer:
        self.wishes.append((version, question))
        if self.overriding == "absent":
            return WELL
        served = version if self.overriding == "obeys" else "1"
        session = f"opened-{served}-{len(self.wishes)}"
        answer = await self.ask(agent, session, question, timeout, stream=stream)
        serving = Serving(served, is_fallback=self.overriding == "falls-back")
        return replace(answer, version=served, serving=serving, session=session)

    async def ask(self, agent: str, session: str, question: Any, timeout: timedelta, *, stream: bool = False) -> Answer:
        self.asked.append((session, question))
        self.forms.append((session, stream))
        version = session.split("-")[-2]
        if version in self.is_mute:
            await asyncio.Event().wait()
        given = self.answers.get(version, [WELL])
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, CloudError):
            raise answer
        return answer

    async def log_lines(self, agent: str, version: str, session: str) -> AsyncGenerator[LogLine, None]:
        self.streams.append(session)
        for line in self.lines.get(session, ()):
            yield line
        if broken := self.breaks.get(session):
            raise broken
        await asyncio.Event().wait()


def a_session(id_: str, version: str, **but: Any) -> SessionSeen:
    return replace(SessionSeen(id_, version, NOON, SessionStatus.ACTIVE), **but)


def a_watched(**plans: Any) -> Rollout:
    """Return a rollout on its first step whose sources are ``plans``."""
    sources = Sources(**{"probe": None, "logs": LogsConfig(), **plans})
    policy = a_policy(sources=sources, gates=(Gate(GateKind.ERROR_RATE, sources.names),))
    return a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, step_started_at=NOON, policy=policy)


def a_quick_probe(**but: Any) -> ProbeConfig:
    return replace(ProbeConfig(every=timedelta(milliseconds=1)), **but)


def refused(status: int | None, code: str | None = None) -> CloudError:
    return CloudError("sessions.create", Refusal(status, code, "no"))


async def seen_by(source: Source, rollout: Rollout, seconds: float = 3600) -> dict[str, Measurement]:
    """Return what ``source`` saw since noon, by stratum."""
    window = Window(NOON, NOON + timedelta(seconds=seconds))
    return {measurement.source: measurement for measurement in await source.measure(rollout, window)}


async def until(read: Callable[[], Awaitable[bool]]) -> None:
    """Read again and again until there is something to see."""
    async with asyncio.timeout(PATIENCE):
        while not await read():  # noqa: ASYNC110 - nobody rings a bell here
            await asyncio.sleep(0.002)


async def until_calls(source: Source, rollout: Rollout, stratum: str, canary: int) -> tuple[Counts, Counts]:
    """Wait for so many calls on the canary; return the counts of stable and canary."""

    async def enough() -> bool:
        return (await seen_by(source, rollout))[stratum].canary.calls >= canary

    await until(enough)
    measurement = (await seen_by(source, rollout))[stratum]
    return measurement.stable, measurement.canary
