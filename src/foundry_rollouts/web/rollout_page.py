"""The page of one rollout: what is so and why, what it waits for, and what was."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.lists import history, one_rollout_view
from foundry_rollouts.web.access import needs
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.render import page
from foundry_rollouts.web.services import Ours

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)


@router.get("/rollouts/{rollout_id}", dependencies=[needs(Role.VIEWER)])
async def show_rollout(request: Request, rollout_id: str, ours: Ours) -> HTMLResponse:
    """Show one rollout with its history."""
    rollout = await one_rollout_view(ours.store, rollout_id, ours.now())
    events = await history(ours.store, rollout_id)
    return page(request, "rollout.html", active="agents", rollout=rollout, events=events)
