"""The pages of what was: every rollout with its end, by filters that stand in the address."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import field_validator
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.lists import rollouts_view
from foundry_rollouts.operations.views import RolloutView
from foundry_rollouts.ports import RolloutFilter
from foundry_rollouts.web.access import needs
from foundry_rollouts.web.filters import PAGE, Filters, Text
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.marks import of_rollout
from foundry_rollouts.web.render import page
from foundry_rollouts.web.services import Ours, Services
from foundry_rollouts.web.tabular import MOST_ROWS, csv_line

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

COLUMNS = ("id", "agent", "stable", "canary", "phase", "policy", "step", "steps", "created", "ended", "by", "because")


class Wanted(Filters):
    """Which rollouts; a field that is empty or no date narrows nothing down."""

    agent: Text = ""
    phase: str = ""
    policy: Text = ""

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
            **self.common(limit),
        )


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
        of_rollout=of_rollout,
    )


@router.get("/history.csv", dependencies=[needs(Role.VIEWER)])
async def save_history(ours: Ours, wanted: Annotated[Wanted, Query()]) -> Response:
    """Send the rollouts of the filters as a table for other programs."""
    headers = {"Content-Disposition": 'attachment; filename="rollouts.csv"'}
    return StreamingResponse(_table(ours, wanted.filter(200)), media_type="text/csv; charset=utf-8", headers=headers)


async def _table(ours: Services, which: RolloutFilter) -> AsyncIterator[str]:
    yield csv_line(COLUMNS)
    sent = 0
    while sent < MOST_ROWS:
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
