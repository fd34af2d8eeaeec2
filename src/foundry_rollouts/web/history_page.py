"""The pages of what was: every rollout with its end, by filters that stand in the address."""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import AfterValidator, BaseModel, Field, field_validator
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.lists import rollouts_view
from foundry_rollouts.operations.views import RolloutView
from foundry_rollouts.ports import RolloutFilter
from foundry_rollouts.untrusted import visible_line
from foundry_rollouts.web.access import needs
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.marks import of_phase
from foundry_rollouts.web.render import page
from foundry_rollouts.web.services import Ours, Services

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

PAGE = 50
CSV_ROWS = 10_000  #: More than anybody reads; what is older has an earlier ``to``.
COLUMNS = ("id", "agent", "stable", "canary", "phase", "policy", "step", "steps", "created", "ended", "by", "because")

Text = Annotated[str, Field(max_length=200)]


def _a_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


#: A date; what is none is left out.
Day = Annotated[str, AfterValidator(_a_day)]


class Wanted(BaseModel):
    """Which rollouts; a field that is empty or no date narrows nothing down."""

    agent: Text = ""
    phase: str = ""
    policy: Text = ""
    since: Day = ""
    until: Day = ""
    words: Text = ""
    before: Text = ""

    @field_validator("phase")
    @classmethod
    def _take_known(cls, phase: str) -> str:
        return phase if phase in set(Phase) else ""

    def filter(self, limit: int) -> RolloutFilter:
        """Return what to ask of the store."""
        return RolloutFilter(
            agent=self.agent or None,
            phase=Phase(self.phase) if self.phase else None,
            policy=self.policy or None,
            since=midnight(self.since),
            until=midnight(self.until, days=1),
            words=self.words.strip() or None,
            before=self.before or None,
            limit=limit,
        )

    def query(self, **but: str) -> str:
        """Return these filters as they stand in an address."""
        return urlencode({name: value for name, value in (self.model_dump() | but).items() if value})


@router.get("/history", dependencies=[needs(Role.VIEWER)])
async def show_history(request: Request, ours: Ours, wanted: Annotated[Wanted, Query()]) -> HTMLResponse:
    """Show one page of rollouts, newest first."""
    found = await rollouts_view(ours.store, wanted.filter(PAGE), ours.now())
    return page(
        request,
        "history.html",
        active="history",
        wanted=wanted,
        found=found,
        phases=list(Phase),
        policies=sorted({policy.name for policy in ours.policies.all()} | ({wanted.policy} - {""})),
        of_phase=of_phase,
    )


@router.get("/history.csv", dependencies=[needs(Role.VIEWER)])
async def save_history(ours: Ours, wanted: Annotated[Wanted, Query()]) -> Response:
    """Send the rollouts of the filters as a table for other programs."""
    headers = {"Content-Disposition": 'attachment; filename="rollouts.csv"'}
    return StreamingResponse(_table(ours, wanted.filter(200)), media_type="text/csv; charset=utf-8", headers=headers)


async def _table(ours: Services, which: RolloutFilter) -> AsyncIterator[str]:
    yield csv_line(COLUMNS)
    sent = 0
    while sent < CSV_ROWS:
        found = await rollouts_view(ours.store, which, ours.now())
        yield "".join(csv_line(_cells(rollout)) for rollout in found.items)
        sent += len(found.items)
        if found.next is None:
            return
        which = replace(which, before=found.next)


def _cells(each: RolloutView) -> tuple[str, ...]:
    ended = each.ended_at.isoformat() if each.ended_at else ""
    steps = (str(each.step), str(each.steps), each.created_at.isoformat(), ended)
    what = (each.id, each.agent, each.stable or "", each.canary, each.phase.value, each.policy)
    return (*what, *steps, each.author or "", each.because)


def csv_line(cells: tuple[str, ...]) -> str:
    """Return one line; a text that a spreadsheet would calculate is kept a text."""
    kept = [f"'{cell}" if cell[:1] in "=+-@\t\r" and cell else visible_line(cell) for cell in cells]
    line = io.StringIO()
    csv.writer(line).writerow(kept)
    return line.getvalue()


def midnight(day: str, days: int = 0) -> datetime | None:
    """Return when a day begins, or so many days later; None where there is no day."""
    return datetime.combine(date.fromisoformat(day), time(), UTC) + timedelta(days=days) if day else None
