"""The history of a rollout, live: each event as it is recorded, until the rollout or the daemon ends.

A client that lost the connection names the last event it has seen and continues from there.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import structlog
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import NotFoundError, RolloutsError
from foundry_rollouts.operations.lists import event_number, events_after, events_everywhere, history
from foundry_rollouts.web.schemas import EventView
from foundry_rollouts.web.services import Services

log = structlog.get_logger(__name__)

COME_BACK_MILLISECONDS = 2000  #: How soon a client that lost the connection tries again.

AGAIN = 100  #: Events that are read again, in case one before them became visible late.
MOST_AT_ONCE = 500
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

#: The OpenAPI text of a route that streams where it is asked to.
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
    204: {"description": "There is nothing more to stream"},
}


async def live_history(services: Services, rollout: Rollout, seen: str | None) -> Response:
    """Return the stream of what happened behind the event ``seen``.

    A client that has seen the last event of an ended rollout gets 204, which tells it not to come back.
    """
    after = await _known(services, rollout, seen)
    if after and rollout.phase.is_final and not await history(services.store, rollout.id, after):
        return Response(status_code=204)
    return EventSourceResponse(_follow(services, rollout.id, after), headers=STREAM_HEADERS)


def wants_stream(request: Request) -> bool:
    """Whether who asks takes a stream of events."""
    return "text/event-stream" in request.headers.get("accept", "")


async def _known(services: Services, rollout: Rollout, seen: str | None) -> str | None:
    """Return ``seen`` when it is an event of ``rollout``; otherwise the stream begins at the beginning."""
    try:
        await events_after(services.store, rollout.id, seen)
    except NotFoundError:
        return None
    return seen


async def _follow(services: Services, rollout_id: str, after: str | None) -> AsyncIterator[bytes]:
    quiet = 0.0
    while not services.stop.is_set():
        try:
            rollout, events = await events_after(services.store, rollout_id, after)
        except RolloutsError as error:
            # The client comes back by itself and names the last event it has.
            log.warning("web.stream_ended", rollout=rollout_id, because=str(error))
            return
        for event in events:
            yield _encoded(event)
            after, quiet = event.id, 0.0
        if rollout.phase.is_final:
            return
        if quiet >= services.keepalive_after.total_seconds():
            yield KEEPALIVE_COMMENT
            quiet = 0.0
        quiet += await pause(services)


async def live_everywhere(services: Services, seen: str | None) -> Response:
    """Return the stream of what happens on all agents, behind the event ``seen`` or from now on."""
    try:
        number = await event_number(services.store, seen)
    except NotFoundError:
        number = await event_number(services.store, None)
    return EventSourceResponse(_everything(services, number), headers=STREAM_HEADERS)


async def _everything(services: Services, number: int) -> AsyncIterator[bytes]:
    """Yield every event once.

    Events of transactions that end at the same time may become visible out of their order: the last ones are read
    again, and those that were sent are left out.
    """
    quiet, sent = 0.0, deque[str](maxlen=2 * AGAIN)
    first = number
    while not services.stop.is_set():
        try:
            found = await events_everywhere(services.store, max(first, number - AGAIN), MOST_AT_ONCE)
        except RolloutsError as error:
            log.warning("web.stream_ended", because=str(error))
            return
        new = [(each, event) for each, event in found if event.id not in sent]
        for each, event in new:
            yield _encoded(event)
            number, quiet = max(number, each), 0.0
            sent.append(event.id)
        if new:
            continue
        if quiet >= services.keepalive_after.total_seconds():
            yield KEEPALIVE_COMMENT
            quiet = 0.0
        quiet += await pause(services)


def _encoded(event: Event) -> bytes:
    text = EventView.model_validate(event).model_dump_json(by_alias=True)
    return format_sse_event(id=event.id, event=event.kind, data_str=text, retry=COME_BACK_MILLISECONDS)


async def pause(services: Services) -> float:
    """Wait until the next check is due, or until the daemon ends; return the seconds between two checks."""
    seconds = services.check_every.total_seconds()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(services.stop.wait(), seconds)
    return seconds
