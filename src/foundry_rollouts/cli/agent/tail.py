"""The lines behind ``agent logs``: which sessions, in which order, for how long."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import typer

from foundry_rollouts.cli.agent.advice import what_to_do
from foundry_rollouts.cli.output import say
from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.ports import LogLine, SessionSeen
from foundry_rollouts.untrusted import visible_json, visible_line

MOST = 50  #: Sessions that are followed at a time.
SEARCHED = 500  #: The newest sessions, among which live ones are searched: an agent may have many that sleep.
SILENCE = timedelta(seconds=2)  #: A log that is silent for so long has sent what it had.
LOOK_EVERY = timedelta(seconds=2)
MOST_FAILURES = 8  #: Reads in a row that may fail.

_FOR_GOOD = frozenset({400, 401, 403, 404})
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose lines."""

    agent: str
    version: str | None
    session: str | None


@dataclass(frozen=True, slots=True)
class Lines:
    """How lines are shown."""

    is_json: bool
    is_one: bool  #: Of one session only, so that it need not be named on each line.
    oldest: datetime | None

    def show(self, session: SessionSeen, line: LogLine) -> None:
        """Write one line: what the platform says goes to stderr, unless it is JSON that tells them apart."""
        if self.oldest and line.at and line.at < self.oldest:
            return
        at = line.at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if line.at else "-"
        if self.is_json:
            shown = {"at": at, "version": session.version, "session": session.id, "stream": line.stream}
            typer.echo(visible_json(json.dumps(shown | {"text": line.text}, ensure_ascii=False)))
            return
        whose = "" if self.is_one else f"{session.version}/{session.id[-8:]}  "
        say(f"{at}  {whose}{visible_line(line.text)}", err=line.stream == "status")


async def read_all(cloud: FoundryClient, wanted: Wanted, lines: Lines) -> int:
    """Show what the sessions have to tell now, in the order of time."""
    chosen = await _chosen(cloud, wanted)
    if not chosen:
        say(f"{wanted.agent} has no such live session", err=True)
    found_lines = await asyncio.gather(*(_lines_of(cloud, wanted, session) for session in chosen))
    found = [(session, line) for session, some in zip(chosen, found_lines, strict=True) for line in some]
    with _pipe_may_close():
        for session, line in sorted(found, key=lambda pair: pair[1].at or _BEGINNING):
            lines.show(session, line)
    return 0


async def _lines_of(cloud: FoundryClient, wanted: Wanted, session: SessionSeen) -> list[LogLine]:
    """Return the lines of one log until it is silent. A sandbox that is not there has none, unless it was named."""
    found: list[LogLine] = []
    loop = asyncio.get_running_loop()
    try:
        async with (
            asyncio.timeout(SILENCE.total_seconds()) as limit,
            aclosing(cloud.api.logs.lines(wanted.agent, session.version, session.id)) as stream,
        ):
            async for line in stream:
                found.append(line)
                limit.reschedule(loop.time() + SILENCE.total_seconds())
    except TimeoutError:
        pass
    except CloudError as error:
        if wanted.session or not error.is_missing:
            raise
    return found


async def follow_one(cloud: FoundryClient, wanted: Wanted, lines: Lines) -> int:
    """Show the lines of one session until it is gone."""
    with _pipe_may_close(), _ends_by_interrupt():
        for session in await _chosen(cloud, wanted):
            async with aclosing(cloud.api.logs.follow(wanted.agent, session.version, session.id)) as stream:
                async for line in stream:
                    lines.show(session, line)
            say(f"session {session.id} is gone", err=True)
    return 0


async def follow_all(cloud: FoundryClient, wanted: Wanted, lines: Lines) -> int:
    """Show the lines of all sessions, and of those that are opened meanwhile, until interrupted."""
    # A session that was stopped may wake on another version, which has a log of its own.
    following: dict[tuple[str, str], asyncio.Task[None]] = {}
    broken = asyncio.Event()
    with _ends_by_interrupt():
        try:
            while not broken.is_set():
                for session in await _looked(cloud, wanted):
                    if (key := (session.id, session.version)) not in following:
                        deed = _follow_quietly(cloud, wanted, session, lines, broken)
                        following[key] = asyncio.create_task(deed)
                await _pause(broken)
        finally:
            for task in following.values():
                task.cancel()
            await asyncio.gather(*following.values(), return_exceptions=True)
    return 0


async def _follow_quietly(
    cloud: FoundryClient, wanted: Wanted, session: SessionSeen, lines: Lines, broken: asyncio.Event
) -> None:
    """Follow one session; what goes wrong with it ends none of the others, but a closed pipe ends all."""
    try:
        async with aclosing(cloud.api.logs.follow(wanted.agent, session.version, session.id)) as stream:
            async for line in stream:
                lines.show(session, line)
    except CloudError as error:
        say(f"session {session.id}: {error}: {what_to_do(error)}", err=True)
    except BrokenPipeError:
        _be_silent()
        broken.set()


async def _looked(cloud: FoundryClient, wanted: Wanted) -> list[SessionSeen]:
    """Return the live sessions, through passing trouble."""
    for failures in range(1, MOST_FAILURES + 1):
        try:
            return await _chosen(cloud, wanted)
        except CloudError as error:
            if failures == MOST_FAILURES or error.refusal.status in _FOR_GOOD:
                raise
            if failures == 1:
                say(f"{error}; trying again", err=True)
            await asyncio.sleep(LOOK_EVERY.total_seconds())
    return []


async def _chosen(cloud: FoundryClient, wanted: Wanted) -> list[SessionSeen]:
    if wanted.session:
        seen = await cloud.api.sessions.one(wanted.agent, wanted.session)
        if wanted.version not in {None, seen.version}:
            raise UsageError(f"session {seen.id} is on version {seen.version}: leave out --version")
        return [seen]
    found: list[SessionSeen] = []
    looked_at = 0
    async with aclosing(cloud.api.sessions.all(wanted.agent)) as newest_first:
        async for session in newest_first:
            looked_at += 1
            if session.status.is_live and wanted.version in {None, session.version}:
                found.append(session)
            if len(found) == MOST or looked_at == SEARCHED:
                break
    return found


async def _pause(broken: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_EVERY.total_seconds()):
            await broken.wait()
    except TimeoutError:
        pass


@contextmanager
def _ends_by_interrupt() -> Iterator[None]:
    """Take Ctrl-C for what it is here: the usual end."""
    try:
        yield
    except asyncio.CancelledError:
        typer.echo(err=True)


@contextmanager
def _pipe_may_close() -> Iterator[None]:
    """End in silence when whoever reads our lines has seen enough."""
    try:
        yield
    except BrokenPipeError:
        _be_silent()


def _be_silent() -> None:
    # The interpreter writes out what is left at its end, and would complain about the closed pipe once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
