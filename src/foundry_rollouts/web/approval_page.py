"""The page that a link in a message opens: what is asked, and a form for who may answer.

Opening it does nothing, so that what opens links by itself, as scanners of mail do, does nothing either. Who answers
sends the form, signed in as themselves.
"""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.approval import Approver
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.operations.approvals import asked_by
from foundry_rollouts.web.access import Who, needs
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.render import page
from foundry_rollouts.web.services import Ours

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)


@router.get("/approvals/{link}", dependencies=[needs(Role.VIEWER)])
async def show_approval(request: Request, link: str, ours: Ours, who: Who) -> HTMLResponse:
    """Show what a link asks to approve."""
    if ours.links is None:
        raise NotFoundError("no links are sent from here: FOUNDRY_ROLLOUTS_PUBLIC_URL is not set")
    asked = await asked_by(ours.store, ours.links.read(link), Approver.of(who), ours.now())
    return page(request, "approval.html", 410 if asked.stale else 200, asked=asked, p=asked.view, active="agents")
