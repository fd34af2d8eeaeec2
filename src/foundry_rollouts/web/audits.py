"""The audit log over the API: who asked for what, from where, why, and what came of it."""

from dataclasses import asdict, fields
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.audit import AuditEntry, AuditFilter, AuditPage, audit_page, every_entry
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.schemas import WhichEntries
from foundry_rollouts.web.services import Ours
from foundry_rollouts.web.tabular import CSV, MOST_ROWS, as_csv, wants_csv

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)


COLUMNS = tuple(each.name for each in fields(AuditEntry))


@router.get("/audit", dependencies=[needs(Role.OPERATOR)], response_model=AuditPage, responses=CSV)
async def list_audit(ours: Ours, request: Request, wanted: Annotated[WhichEntries, Query()]) -> AuditPage | Response:
    """List who asked for what, newest first, refused requests too; ``before`` takes the ``next`` of the page before.

    With ``Accept: text/csv``, as CSV.
    """
    which = AuditFilter(
        author=wanted.author,
        action=wanted.action,
        subject=wanted.subject,
        outcome=wanted.outcome,
        since=wanted.since,
        until=wanted.until,
        words=wanted.words,
        before=wanted.before,
        limit=wanted.limit,
    )
    if wants_csv(request):
        return as_csv(COLUMNS, [asdict(each) async for each in every_entry(ours.store, which, MOST_ROWS)], "audit")
    return await audit_page(ours.store, which)
