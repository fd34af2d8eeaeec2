"""Change the cloud: intent, change, read back.

The intent is written before the change, with everything that will be recorded after it. A process that dies in
between leaves a state that ``recover`` settles, with the same history as a calm run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from foundry_rollouts.controller.endpoint_settings import keep_settings, tell_kept
from foundry_rollouts.controller.stop_sessions import end_sessions
from foundry_rollouts.core.model.backoff import Backoff
from foundry_rollouts.core.model.event import number_at
from foundry_rollouts.core.model.rollout import UnconfirmedChange
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import ChangeError, CloudError, DriftError, LeaseLostError, StoreError
from foundry_rollouts.ports import Admission, Cloud, Intent, Lease, Record, World
from foundry_rollouts.ports.priority import Priority, at_priority

#: Between two reads of a routing that is not as it was sent yet.
CONFIRM_PAUSES = Backoff(timedelta(milliseconds=50), timedelta(seconds=2))


@dataclass(frozen=True, slots=True)
class Change:
    """From the routing that is seen to the one that is wanted; a retreat lowers the canary's exposure."""

    before: Routing
    target: Routing
    is_retreat: bool
    settings: str | None = None  #: What the endpoint has beside its weights, to be kept.
    is_urgent: bool = False  #: It goes before all that can wait, as a retreat does.
    admission: Admission | None = None  #: What may still refuse it, with nothing sent and nothing recorded.


@dataclass(frozen=True, slots=True)
class Applied:
    """What there is to be remembered of a change, and whether the database has it."""

    record: Record
    is_written: bool = True


async def apply_routing(
    world: World, lease: Lease, change: Change, record: Record, now: Callable[[], datetime]
) -> Applied:
    """Bring the cloud to ``change.target`` and write ``record``.

    Raises ChangeError when the cloud refuses, DriftError when it does not confirm and LeaseLostError when the lease
    runs out before the change is sent; the intent stays open then, and the next tick settles it. A retreat does not
    wait for a database that is away: its record is still to be written then, unless the intent stands, and the sessions
    are still to be ended, for nothing else knows of the retreat until the caller remembers it.
    """
    if change.target == change.before and change.admission is None:
        record = await _without_sessions(world, record)
        await world.store.record(lease, record)
        return Applied(record)
    opened_at = now()
    intent = Intent(
        id=record.event.id if record.event else f"{lease.agent}:{lease.fence}:{number_at(opened_at)}",
        agent=lease.agent,
        opened_at=opened_at,
        before=change.before,
        target=change.target,
        is_retreat=change.is_retreat,
        record=record,
        settings=change.settings,
    )
    is_written = await _open(world, lease, intent, change.admission)
    with at_priority(Priority.ROLLBACK if change.is_retreat or change.is_urgent else Priority.USUAL):
        async with within_lease(lease, now):
            is_answered = await send(world.cloud, lease.agent, change.before, change.target)
        report = await confirm(world, lease.agent, change.target, change.settings)
    if not is_answered:
        record = with_unconfirmed(record, intent)
    if not is_written:
        return Applied(record, is_written=False)
    record = await _without_sessions(world, record)
    await world.store.record(lease, record, closes=intent)
    await tell_kept(world, lease, intent.id, report, now())
    return Applied(record)


async def _without_sessions(world: World, record: Record) -> Record:
    """Return ``record`` once the sessions that it wants stopped were stopped."""
    is_owing = record.rollout is not None and record.rollout.owes_stops
    return await end_sessions(world.sessions, record) if is_owing else record


def with_unconfirmed(record: Record, intent: Intent) -> Record:
    """Return ``record`` with the memory that the change of ``intent`` may arrive once more."""
    if record.rollout is None:
        return record
    return replace(
        record, rollout=record.rollout.with_unconfirmed(UnconfirmedChange(intent.target.weights, intent.opened_at))
    )


@asynccontextmanager
async def within_lease(lease: Lease, now: Callable[[], datetime]) -> AsyncIterator[None]:
    """Send nothing once the lease has run out: raise LeaseLostError before, or in the midst of, what takes too long."""
    left = (lease.until - now()).total_seconds()
    try:
        async with asyncio.timeout(max(left, 0)):
            await asyncio.sleep(0)
            yield
    except TimeoutError as error:
        raise LeaseLostError(f"the lease of agent {lease.agent} ran out before the change was sent") from error


async def _open(world: World, lease: Lease, intent: Intent, admission: Admission | None) -> bool:
    try:
        await world.store.open_intent(lease, intent, admission)
    except StoreError:
        if not intent.is_retreat:
            raise
        return False
    return True


async def send(cloud: Cloud, agent: str, before: Routing, target: Routing) -> bool:
    """Send what differs; return whether every try to change the weights was answered.

    An endpoint is closed before its weights change, and never opened: a person does that. Raises ChangeError when the
    cloud refuses.
    """
    try:
        if before.is_open and not target.is_open:
            await cloud.disable(agent)
        if before.weights != target.weights:
            return await cloud.route(agent, target)
    except CloudError as error:
        raise ChangeError(error) from error
    return True


async def confirm(world: World, agent: str, target: Routing, settings: str | None = None) -> str | None:
    """Read the routing back until it is ``target``; raise DriftError when it does not become so in time.

    Return what to report of ``settings`` that the endpoint lost by the change; they are put back.
    """
    waited = timedelta(0)
    for tries in count(1):
        read = await world.cloud.agent(agent)
        if (seen := read.routing_read()) == target:
            return await keep_settings(world.cloud, read, target, settings)
        if waited >= world.confirm_within:
            raise DriftError(f"{agent}: sent {target}, but the cloud still shows {seen}")
        pause = CONFIRM_PAUSES.pause(tries)
        await asyncio.sleep(pause.total_seconds())
        waited += pause
    raise AssertionError("counting has no end")
