"""The pages that people open: what runs now. Forms are forms, tables are there, and script adds only life."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.lists import agents_page, rollouts_view
from foundry_rollouts.ports import AgentFilter, RolloutFilter
from foundry_rollouts.web.access import needs
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.render import page
from foundry_rollouts.web.services import Ours

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

NEWEST = 50  #: Rollouts on the first page.


@router.get("/", dependencies=[needs(Role.VIEWER)])
async def overview(request: Request, ours: Ours) -> HTMLResponse:
    """Show agents and the newest rollouts."""
    now = ours.now()
    agents = (await agents_page(ours.store, AgentFilter(), now)).items
    newest = await rollouts_view(ours.store, RolloutFilter(limit=NEWEST), now)
    return page(request, "overview.html", active="agents", agents=agents, rollouts=newest.items)
