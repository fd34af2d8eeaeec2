"""The audit log over the API: who asked for what, from where, why, and what came of it."""

from typing import Annotated

from fastapi import APIRouter, Query

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.audit import AuditFilter, AuditPage, audit_page
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.schemas import WhichEntries
from foundry_rollouts.web.services import Ours

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)


@router.get("/audit", dependencies=[needs(Role.OPERATOR)])
async def list_audit(ours: Ours, wanted: Annotated[WhichEntries, Query()]) -> AuditPage:
    """List who asked for what, newest first, refused requests too; ``before`` takes the ``next`` of the page before."""
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
    return await audit_page(ours.store, which)
