"""The page of the audit log: who asked for what, why, what they saw, and what came of it; refused requests too."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import field_validator
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.audit import AuditEntry, AuditFilter, AuditOutcome, audit_page, every_entry
from foundry_rollouts.web.access import needs
from foundry_rollouts.web.filters import PAGE, Filters, Text
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.marks import Mark
from foundry_rollouts.web.render import page
from foundry_rollouts.web.services import Ours, Services
from foundry_rollouts.web.tabular import MOST_ROWS, csv_line

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

OUTCOMES = {
    AuditOutcome.ACCEPTED: Mark("good", "check", "accepted"),
    AuditOutcome.REFUSED: Mark("bad", "cross", "refused"),
    AuditOutcome.FAILED: Mark("bad", "warn", "failed"),
}
COLUMNS = ("at", "author", "role", "way", "address", "action", "subject", "reason", "generation", "outcome", "because")


class Wanted(Filters):
    """Which entries; a field that is empty or no date narrows nothing down."""

    author: Text = ""
    action: Text = ""
    outcome: str = ""

    @field_validator("outcome")
    @classmethod
    def _take_known(cls, outcome: str) -> str:
        return outcome if outcome in set(AuditOutcome) else ""

    def filter(self, limit: int) -> AuditFilter:
        """Return what to ask of the store."""
        return AuditFilter(
            author=self.author.strip() or None,
            action=self.action.strip() or None,
            outcome=AuditOutcome(self.outcome) if self.outcome else None,
            **self.common(limit),
        )


@router.get("/audit", dependencies=[needs(Role.OPERATOR)])
async def show_audit(request: Request, ours: Ours, wanted: Annotated[Wanted, Query()]) -> HTMLResponse:
    """Show one page of the audit log, newest first."""
    found = await audit_page(ours.store, wanted.filter(PAGE))
    return page(request, "audit.html", active="audit", wanted=wanted, found=found, outcomes=OUTCOMES)


@router.get("/audit.csv", dependencies=[needs(Role.OPERATOR)])
async def save_audit(ours: Ours, wanted: Annotated[Wanted, Query()]) -> Response:
    """Send the entries of the filters as a table for other programs."""
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return StreamingResponse(_table(ours, wanted), media_type="text/csv; charset=utf-8", headers=headers)


async def _table(ours: Services, wanted: Wanted) -> AsyncIterator[str]:
    yield csv_line(COLUMNS)
    async for each in every_entry(ours.store, wanted.filter(PAGE), MOST_ROWS):
        yield csv_line(_cells(each))


def _cells(each: AuditEntry) -> tuple[str, ...]:
    generation = "" if each.generation is None else str(each.generation)
    who = (each.at.isoformat(), each.author, each.role or "", each.way or "", each.address)
    what = (each.action, each.subject or "", each.reason or "", generation, each.outcome.value, each.because or "")
    return (*who, *what)
