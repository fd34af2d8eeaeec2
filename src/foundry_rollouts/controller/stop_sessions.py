"""Live sessions of a version that was rolled back: a weight of nothing divides new sessions only.

They are stopped with the rollback at once, and again until none is live: what cannot be listed or stopped now is tried
again, by whoever holds the agent, and the history tells that they are not stopped yet and when they are.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.record import record_of_rollout
from foundry_rollouts.controller.said import words
from foundry_rollouts.core.model.event import Event, of_rollout
from foundry_rollouts.core.model.rollout import STOPS_AGAIN_AFTER, Phase, Rollout, Stops
from foundry_rollouts.errors import CloudError
from foundry_rollouts.ports import Lease, Record, Sessions, World

log = structlog.get_logger()

#: How long the end of sessions may keep the history waiting, and how many are stopped at once.
STOP_WITHIN, MAX_CONCURRENT = timedelta(seconds=20), 8
#: How long one later try may take: other rollouts of the agent wait for it.
RETRY_WITHIN = timedelta(seconds=5)
#: When the first later check comes, and how long after the rollback a session may still appear in the list.
STRAGGLERS = timedelta(seconds=30)
#: The longest pause between two tries, and the one after many of them.
AGAIN, RARELY, MANY = timedelta(seconds=10), timedelta(minutes=1), 60


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of one try."""

    live: int = 0  #: So many sessions were found.
    count: int = 0  #: So many of them were stopped.
    trouble: str | None = None
    is_gone: bool = False  #: There is no such agent any more.


async def end_sessions(sessions: Sessions, record: Record) -> Record:
    """Stop the canary's live sessions after a rollback, where the policy wants it; the next call re-binds them.

    This comes before the record, so that whoever settles the rollback after a crash does it too; what is stopped
    already stays so. Returns the record, which tells how many were stopped.
    """
    rollout = record.rollout
    if rollout is None or rollout.stops is None or rollout.stops.is_done:
        return record
    end = await _end(sessions, rollout, STOP_WITHIN)
    stops = replace(rollout.stops, count=rollout.stops.count + end.count)
    return replace(record, rollout=replace(rollout, stops=stops))


async def end_what_is_left(world: World, lease: Lease, owing: Sequence[Rollout], now: datetime) -> datetime | None:
    """Try again where sessions were not all stopped, or where one may have appeared since; return when to try next."""
    again_at: list[datetime] = []
    for rollout in owing:
        stops = rollout.stops or Stops()
        if now < (at := stops.next_at or (rollout.ended_at or now) + STOPS_AGAIN_AFTER):
            again_at.append(at)
            continue
        if await _is_wanted_again(world, rollout):
            end, then = Ended(), replace(stops, is_done=True)
        else:
            end = await _end(world.sessions, rollout, RETRY_WITHIN)
            then = _after(rollout, stops, end, now)
        event = _event(rollout, then, end, now)
        left = replace(rollout, stops=then, event_count=rollout.event_count + (event is not None))
        await world.store.record(lease, record_of_rollout(left, event, due_at=then.next_at))
        again_at += [then.next_at] if then.next_at else []
    return min(again_at, default=None)


def _after(rollout: Rollout, stops: Stops, end: Ended, now: datetime) -> Stops:
    """Return how far the end of sessions is after one more try."""
    then = replace(stops, count=stops.count + end.count, tries=stops.tries + 1)
    if end.trouble:
        pause = AGAIN if then.tries < MANY else RARELY
        return replace(then, is_told=True, next_at=now + (STOPS_AGAIN_AFTER if end.count else pause))
    stragglers_until = (rollout.ended_at or now) + STRAGGLERS
    if end.is_gone or (not end.live and now >= stragglers_until):
        return replace(then, is_done=True, next_at=None)
    return replace(
        then, next_at=now + STOPS_AGAIN_AFTER if end.live else max(stragglers_until, now + STOPS_AGAIN_AFTER)
    )


def _event(rollout: Rollout, then: Stops, end: Ended, now: datetime) -> Event | None:
    """Return what the history tells: once that sessions live on, and once that none does."""
    before = rollout.stops or Stops()
    if then.is_told and not before.is_told:
        left = f"{end.live - end.count} of {end.live} live sessions" if end.live > end.count else "live sessions"
        kind = "sessions.unstopped"
        because = f"{left} of version {rollout.canary} are not stopped yet, and it is tried again: {end.trouble}"
    elif then.is_done and then.is_told:
        kind, because = "sessions.stopped", f"live sessions of version {rollout.canary} were stopped: {then.count}"
    else:
        return None
    log.info(kind, **words(rollout), count=then.count, because=because)
    return of_rollout(rollout, kind, because, now)


async def _is_wanted_again(world: World, rollout: Rollout) -> bool:
    """Whether the version came back since: its sessions are users' own again."""
    known = await world.store.agent(rollout.agent)
    trials = await world.store.unfinished(rollout.agent)
    is_tried = any(each.canary == rollout.canary and each.phase is not Phase.PENDING for each in trials)
    return is_tried or (known is not None and known.stable == rollout.canary)


async def _end(sessions: Sessions, rollout: Rollout, patience: timedelta) -> Ended:
    """Stop what is live, so long as that may take, and say what is left."""
    live: list[str] = []
    ends: list[str | None] = []

    async def stop(session: str, places: asyncio.Semaphore) -> None:
        async with places:
            ends.append(await _stop(sessions, rollout.agent, session))

    try:
        async with asyncio.timeout(patience.total_seconds()):
            live, places = await _live(sessions, rollout), asyncio.Semaphore(MAX_CONCURRENT)
            await asyncio.gather(*(stop(session, places) for session in live))
        trouble = next((end for end in ends if end), None)
    except CloudError as error:
        if error.is_missing:
            return Ended(is_gone=True)
        trouble = str(error)
    except TimeoutError:
        trouble = f"not all could be stopped within {patience.seconds} s"
    if trouble:
        log.warning("sessions.left", **words(rollout), because=trouble)
    return Ended(len(live), ends.count(None), trouble)


async def _live(sessions: Sessions, rollout: Rollout) -> list[str]:
    found = sessions.sessions(rollout.agent)
    return [each.id async for each in found if each.version == rollout.canary and each.status.is_live]


async def _stop(sessions: Sessions, agent: str, session: str) -> str | None:
    """Stop one session; return why it was left: one that refuses does not keep the others. One that is gone is fine."""
    try:
        await sessions.stop_session(agent, session)
    except CloudError as error:
        return None if error.is_missing else str(error)
    return None
