"""The page of policies: what each says, and what to expect of it at a traffic that the reader names."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from starlette.requests import Request

from foundry_rollouts.core.forecast.expectation import Traffic
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.ties import ties
from foundry_rollouts.operations.plans import named_in, plan_of
from foundry_rollouts.operations.policy_views import policy_view
from foundry_rollouts.web.access import needs
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.render import page
from foundry_rollouts.web.services import Ours

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

#: The drawing, in its own units: where time begins, how wide time is, how high a row is.
LEFT, WIDE, ROW = 110.0, 620.0, 36.0
#: Distances between the lines of the drawing, in seconds: the first with few enough lines is taken.
GRIDS = (60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)


class Assumed(BaseModel):
    """Which policy, and the traffic to plan with: calls a second, and percent that fail on stable."""

    name: Annotated[str, Field(max_length=200)] = ""
    rps: Annotated[float, Field(gt=0, le=1e6)] = 2.0
    fails: Annotated[float, Field(ge=0, le=100)] = 1.0


@router.get("/policies", dependencies=[needs(Role.VIEWER)])
def show_policies(request: Request, ours: Ours, assumed: Annotated[Assumed, Query()]) -> HTMLResponse:
    """Show the policies in force, and the plan of one. It runs in a thread of its own: a plan takes a while."""
    policies = sorted(ours.policies.all(), key=lambda policy: policy.name)
    chosen = named_in(policies, assumed.name or None)
    drawn = plan_of(chosen, Traffic(assumed.rps, assumed.fails / 100)) if chosen else None
    scale = WIDE / drawn.ends if drawn else 1.0
    more = {"plan": drawn, "grid": _grid(drawn.ends) if drawn else (), "x": _placing(scale), "row": ROW, "left": LEFT}
    return page(
        request,
        "policies.html",
        status=200 if chosen or not assumed.name else 404,
        active="policies",
        policies=[policy_view(policy) for policy in policies],
        chosen=policy_view(chosen) if chosen else None,
        judge=chosen.judge if chosen else None,
        problems=list(ours.policies.problems),
        ties=[tie.because for tie in ties(policies)],
        assumed=assumed,
        query=lambda name: urlencode({"name": name, "rps": f"{assumed.rps:g}", "fails": f"{assumed.fails:g}"}),
        **more,
    )


def _placing(scale: float) -> Callable[[float], float]:
    return lambda seconds: round(LEFT + seconds * scale, 1)


def _grid(ends: float) -> list[float]:
    """Return where the drawing has lines, in seconds: eleven at most."""
    apart = next((each for each in GRIDS if ends / each <= 10), ends / 10)
    return [apart * place for place in range(int(ends // apart) + 1)]
