"""The ops API: thin routes over the operations."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from starlette.requests import Request

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.ties import ties
from foundry_rollouts.operations.explain import Explanation, explain
from foundry_rollouts.operations.lists import (
    RolloutPage,
    agents_view,
    history,
    measurements_view,
    one_agent_view,
    one_rollout,
    one_rollout_view,
    rollouts_view,
)
from foundry_rollouts.operations.policy_views import policy_view
from foundry_rollouts.operations.views import AgentView, RolloutView
from foundry_rollouts.ports import RolloutFilter
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.requester import By
from foundry_rollouts.web.schemas import (
    Agents,
    CommandRequest,
    Events,
    Measurements,
    PoliciesInForce,
    Prefer,
    WhichRollouts,
)
from foundry_rollouts.web.services import Ours
from foundry_rollouts.web.stream import live_history, wants_stream

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)

Obey = Callable[[str, CommandRequest, Ours, By, Prefer], Awaitable[RolloutView]]


@router.get("/agents", dependencies=[needs(Role.VIEWER)])
async def list_agents(ours: Ours) -> Agents:
    """List agents with their routing, versions, policy and current rollout."""
    return Agents(items=list(await agents_view(ours.store, ours.now())))


@router.get("/agents/{agent_name}", dependencies=[needs(Role.VIEWER)])
async def show_agent(agent_name: str, ours: Ours) -> AgentView:
    """Show one agent with its current rollout and the number of queued ones."""
    return await one_agent_view(ours.store, agent_name, ours.now())


@router.get("/policies", dependencies=[needs(Role.VIEWER)])
def list_policies(ours: Ours) -> PoliciesInForce:
    """List the policies in force, the problems of files that are not, and policies that match agents equally.

    It runs in a thread of its own: a thousand policies take a while.
    """
    policies = ours.policies.all()
    items = [policy_view(policy) for policy in policies]
    tied = [tie.because for tie in ties(policies)]
    return PoliciesInForce(items=items, problems=list(ours.policies.problems), ties=tied)


@router.get("/rollouts", dependencies=[needs(Role.VIEWER)])
async def list_rollouts(ours: Ours, wanted: Annotated[WhichRollouts, Query()]) -> RolloutPage:
    """List rollouts, newest first, by agent, phase or version; ``before`` takes the ``next`` of the page before."""
    which = RolloutFilter(
        agent=wanted.agent, phase=wanted.phase, canary=wanted.version, limit=wanted.limit, before=wanted.before
    )
    return await rollouts_view(ours.store, which, ours.now())


@router.get("/rollouts/{rollout_id}", dependencies=[needs(Role.VIEWER)])
async def show_rollout(rollout_id: str, ours: Ours) -> RolloutView:
    """Show one rollout: its phase, why, and what it waits for."""
    return await one_rollout_view(ours.store, rollout_id, ours.now())


@router.get("/rollouts/{rollout_id}/events", dependencies=[needs(Role.VIEWER)], response_model=Events)
async def show_history(
    rollout_id: str,
    ours: Ours,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> Events | Response:
    """Show the history of a rollout; with ``Accept: text/event-stream``, stream it."""
    if wants_stream(request):
        return await live_history(ours, await one_rollout(ours.store, rollout_id), last_event_id)
    return Events(items=list(await history(ours.store, rollout_id)))


@router.get("/rollouts/{rollout_id}/measurements", dependencies=[needs(Role.VIEWER)])
async def show_measurements(rollout_id: str, ours: Ours) -> Measurements:
    """Show the measurements of a rollout."""
    return Measurements(items=list(await measurements_view(ours.store, rollout_id)))


@router.get("/rollouts/{rollout_id}/explain", dependencies=[needs(Role.VIEWER)])
async def explain_rollout(rollout_id: str, ours: Ours) -> Explanation:
    """Show every decision of a rollout with all its inputs."""
    return await explain(ours.store, rollout_id)
