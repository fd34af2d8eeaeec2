"""The ops API: thin routes over the operations."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from starlette.requests import Request

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.policy_hash import policy_hash
from foundry_rollouts.core.model.ties import ties
from foundry_rollouts.operations.explain import Explanation, explain
from foundry_rollouts.operations.lists import (
    AgentPage,
    EventPage,
    MeasurementPage,
    RolloutPage,
    agents_page,
    events_page,
    every_rollout,
    history_page,
    measurements_page,
    one_agent_view,
    one_rollout,
    one_rollout_view,
    rollouts_view,
)
from foundry_rollouts.operations.paging import page_behind
from foundry_rollouts.operations.policy_views import policy_view
from foundry_rollouts.operations.views import AgentView, RolloutView
from foundry_rollouts.ports import AgentFilter, RolloutFilter
from foundry_rollouts.web.access import Guarded, Who, needs
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.requester import By
from foundry_rollouts.web.schemas import (
    CommandRequest,
    EventsShown,
    Me,
    PoliciesInForce,
    PolicyShown,
    Prefer,
    WhichAgents,
    WhichEvents,
    WhichMeasurements,
    WhichOfHistory,
    WhichPolicies,
    WhichRollouts,
)
from foundry_rollouts.web.services import Ours
from foundry_rollouts.web.stream import STREAM, live_everywhere, live_history, wants_stream
from foundry_rollouts.web.tabular import CSV, MOST_ROWS, as_csv, wants_csv

#: What a listing as CSV has of each rollout.
ROLLOUT_COLUMNS = (
    "id",
    "agent",
    "canary",
    "stable",
    "phase",
    "step",
    "steps",
    "policy",
    "author",
    "created_at",
    "started_at",
    "ended_at",
    "because",
)

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)

Obey = Callable[[str, CommandRequest, Ours, By, Prefer], Awaitable[RolloutView]]


@router.get("/me", dependencies=[needs(None)])
async def show_me(who: Who) -> Me:
    """Show who asks by what they show: their name, their role, and how they came in."""
    return Me(name=who.name, role=who.role, way=who.way)


@router.get("/agents", dependencies=[needs(Role.VIEWER)])
async def list_agents(ours: Ours, wanted: Annotated[WhichAgents, Query()]) -> AgentPage:
    """List agents by name, with routing, versions, policy and current rollout; ``after`` takes the ``next`` before.

    ``group`` shows those that need a person, those whose rollout goes on by itself, or all others; without one, agents
    that the cloud no longer lists are there, too (``is_gone``).
    """
    which = AgentFilter(words=wanted.words, after=wanted.after, limit=wanted.limit, with_gone=wanted.group is None)
    return await agents_page(ours.store, which, ours.now(), wanted.group)


@router.get("/agents/{agent_name:path}", dependencies=[needs(Role.VIEWER)])
async def show_agent(agent_name: str, ours: Ours) -> AgentView:
    """Show one agent with its current rollout and the number of queued ones."""
    return await one_agent_view(ours.store, agent_name, ours.now())


@router.get("/policies", dependencies=[needs(Role.VIEWER)])
def list_policies(ours: Ours, wanted: Annotated[WhichPolicies, Query()]) -> PoliciesInForce:
    """List the policies in force, the problems of files that are not, and policies that match agents equally.

    ``after`` takes the ``next`` of the page before.
    """
    # This runs in a thread of its own: a thousand policies take a while.
    policies = ours.policies.all()
    some, onward = page_behind(tuple(policies), wanted.after, wanted.limit, lambda policy: policy.name)
    items = [policy_view(policy) for policy in some]
    tied = [tie.because for tie in ties(policies)]
    return PoliciesInForce(items=items, problems=list(ours.policies.problems), ties=tied, next=onward)


@router.get("/policies/{policy_name}", dependencies=[needs(Role.VIEWER)])
def show_policy(policy_name: str, ours: Ours) -> PolicyShown:
    """Show one policy in force as a file would say it, with every default."""
    policy = ours.policies.named(policy_name)
    return PolicyShown(name=policy.name, hash=policy_hash(policy), written=dict(ours.written(policy)))


@router.get("/rollouts", dependencies=[needs(Role.VIEWER)], response_model=RolloutPage, responses=CSV)
async def list_rollouts(
    ours: Ours, request: Request, wanted: Annotated[WhichRollouts, Query()]
) -> RolloutPage | Response:
    """List rollouts, newest first; ``before`` takes the ``next`` of the page before. With ``Accept: text/csv``, as CSV.

    By agent, version, phase and policy, created between ``since`` and ``until``, and by words in their last sentence.
    """
    which = RolloutFilter(
        agent=wanted.agent,
        phase=wanted.phase,
        canary=wanted.version,
        policy=wanted.policy,
        since=wanted.since,
        until=wanted.until,
        words=wanted.words,
        limit=wanted.limit,
        before=wanted.before,
    )
    if wants_csv(request):
        found = await every_rollout(ours.store, which, ours.now(), MOST_ROWS)
        return as_csv(ROLLOUT_COLUMNS, map(asdict, found), "rollouts")
    return await rollouts_view(ours.store, which, ours.now())


@router.get("/events", dependencies=[needs(Role.VIEWER)], response_model=EventsShown, responses=STREAM)
async def show_events(
    ours: Ours,
    request: Request,
    wanted: Annotated[WhichEvents, Query()],
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> EventPage | Response:
    """Show what happened on all agents, oldest first; ``after`` takes the ``next`` of the page before.

    With ``Accept: text/event-stream``, stream what happens from now on, or behind the event of ``Last-Event-ID``.
    """
    if wants_stream(request):
        return await live_everywhere(ours, last_event_id or wanted.after)
    return await events_page(ours.store, wanted.after, wanted.limit)


@router.get("/rollouts/{rollout_id}", dependencies=[needs(Role.VIEWER)])
async def show_rollout(rollout_id: str, ours: Ours) -> RolloutView:
    """Show one rollout: its phase, why, and what it waits for."""
    return await one_rollout_view(ours.store, rollout_id, ours.now())


@router.get(
    "/rollouts/{rollout_id}/events", dependencies=[needs(Role.VIEWER)], response_model=EventsShown, responses=STREAM
)
async def show_history(
    rollout_id: str,
    ours: Ours,
    request: Request,
    wanted: Annotated[WhichOfHistory, Query()],
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> EventPage | Response:
    """Show the history of a rollout, oldest first; ``after`` takes the ``next`` of the page before.

    With ``Accept: text/event-stream``, stream it, from the beginning or behind the event of ``Last-Event-ID``.
    """
    if wants_stream(request):
        return await live_history(ours, await one_rollout(ours.store, rollout_id), last_event_id or wanted.after)
    return await history_page(ours.store, rollout_id, wanted.after, wanted.limit)


@router.get("/rollouts/{rollout_id}/measurements", dependencies=[needs(Role.VIEWER)])
async def show_measurements(
    rollout_id: str, ours: Ours, wanted: Annotated[WhichMeasurements, Query()]
) -> MeasurementPage:
    """Show the newest measurements of a rollout, oldest first; ``before`` takes the ``next`` of the page before."""
    return await measurements_page(ours.store, rollout_id, wanted.before, wanted.limit)


@router.get("/rollouts/{rollout_id}/explain", dependencies=[needs(Role.VIEWER)])
async def explain_rollout(rollout_id: str, ours: Ours) -> Explanation:
    """Show every decision of a rollout with all its inputs."""
    return await explain(ours.store, rollout_id)
