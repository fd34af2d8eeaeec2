"""What who watches a rollout reads: its course as points of charts, and the last log lines of both versions."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.operations.courses import course_of
from foundry_rollouts.operations.lists import one_rollout
from foundry_rollouts.operations.log_tail import LogTailView, TailLine
from foundry_rollouts.operations.series import Series
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.services import Ours, Services
from foundry_rollouts.web.stream import COME_BACK_MILLISECONDS, STREAM, STREAM_HEADERS, pause, wants_stream

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)

_LINE = TypeAdapter(TailLine)


@router.get("/rollouts/{rollout_id}/series", dependencies=[needs(Role.VIEWER)])
async def show_series(rollout_id: str, ours: Ours) -> Series:
    """Show the course of a rollout as points of charts: evidence, rates, weights, and the moments of its history."""
    return await course_of(ours.store, ours.replays, rollout_id)


@router.get(
    "/rollouts/{rollout_id}/logs", dependencies=[needs(Role.VIEWER)], response_model=LogTailView, responses=STREAM
)
async def show_logs(
    rollout_id: str,
    ours: Ours,
    request: Request,
    after: Annotated[str | None, Query(max_length=64)] = None,
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> LogTailView | Response:
    """Show the last log lines of live sessions of both versions, redacted; ``after`` takes the id of a line.

    With ``Accept: text/event-stream``, stream them.
    """
    rollout = await one_rollout(ours.store, rollout_id)
    if wants_stream(request):
        return EventSourceResponse(_lines(ours, rollout, last_event_id or after), headers=STREAM_HEADERS)
    return await ours.logs.read(rollout, after)


async def _lines(ours: Services, rollout: Rollout, after: str | None) -> AsyncIterator[bytes]:
    quiet = 0.0
    while not ours.stop.is_set():
        for line in (await ours.logs.read(rollout, after)).lines:
            after, quiet = line.id, 0.0
            text = _LINE.dump_json(line).decode()
            yield format_sse_event(id=line.id, event="log.line", data_str=text, retry=COME_BACK_MILLISECONDS)
        if quiet >= ours.keepalive_after.total_seconds():
            yield KEEPALIVE_COMMENT
            quiet = 0.0
        quiet += await pause(ours)
