"""The ops API: thin routes over the operations."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from starlette.requests import Request

from foundry_rollouts.core.command import Command, Verb
from foundry_rollouts.core.rollout import Phase
from foundry_rollouts.errors import ConflictError
from foundry_rollouts.operations.commands import command
from foundry_rollouts.operations.explain import Explanation, explain
from foundry_rollouts.operations.lists import (
    RolloutPage,
    agents_view,
    history,
    measurements_view,
    rollouts_view,
)
from foundry_rollouts.operations.start import Retry, Start, retry, start, trial_of
from foundry_rollouts.operations.views import RolloutView, policy_view, rollout_view
from foundry_rollouts.ports import RolloutFilter
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.schemas import (
    Agents,
    CommandRequest,
    Events,
    Key,
    Measurements,
    Name,
    PoliciesInForce,
    StartRequest,
)
from foundry_rollouts.web.services import Ours
from foundry_rollouts.web.stream import live_history

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED)

Obey = Callable[[str, CommandRequest, Ours, Key], Awaitable[RolloutView]]


@router.get("/agents")
async def list_agents(ours: Ours) -> Agents:
    """List agents with routing, versions, policy and the rollout in hand."""
    return Agents(items=list(await agents_view(ours.store, ours.now())))


@router.get("/policies")
async def list_policies(ours: Ours) -> PoliciesInForce:
    """List the policies in force, and what is wrong with files that are not."""
    items = [policy_view(policy) for policy in ours.policies.all()]
    return PoliciesInForce(items=items, problems=list(ours.policies.problems))


@router.get("/rollouts")
async def list_rollouts(
    ours: Ours,
    agent: Name | None = None,
    phase: Phase | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Name | None = None,
) -> RolloutPage:
    """List rollouts, newest first; ``before`` takes the ``next`` of the page before."""
    which = RolloutFilter(agent=agent, phase=phase, limit=limit, before=before)
    return await rollouts_view(ours.store, which, ours.now())


@router.post("/rollouts", status_code=201)
async def start_rollout(
    wanted: StartRequest, ours: Ours, request: Request, response: Response, key: Key = None
) -> RolloutView:
    """Start a rollout; it waits for others of the agent."""
    now = ours.now()
    asked = Start(
        id=ours.new_id(now),
        agent=wanted.agent,
        version=wanted.version,
        author=wanted.author or ours.author,
        policy=wanted.policy,
        idempotency_key=key,
    )
    try:
        rollout = await start(ours.store, ours.policies, asked, now)
    except ConflictError:
        request.state.about = await trial_of(ours.store, asked.agent, asked.version)
        raise
    ours.wake.ring()
    response.headers["Location"] = f"/api/v1/rollouts/{rollout.id}"
    return rollout_view(rollout, now)


@router.get("/rollouts/{rollout_id}")
async def show_rollout(rollout_id: str, ours: Ours) -> RolloutView:
    """Show one rollout as it stands."""
    return rollout_view(await ours.store.rollout(rollout_id), ours.now())


@router.get("/rollouts/{rollout_id}/events", response_model=Events)
async def show_history(
    rollout_id: str,
    ours: Ours,
    request: Request,
    last_event_id: Annotated[str | None, Header(max_length=200)] = None,
) -> Events | Response:
    """Show the history of a rollout; with ``Accept: text/event-stream``, live."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return await live_history(ours, await ours.store.rollout(rollout_id), last_event_id)
    return Events(items=list(await history(ours.store, rollout_id)))


@router.get("/rollouts/{rollout_id}/measurements")
async def show_measurements(rollout_id: str, ours: Ours) -> Measurements:
    """Show what was measured for a rollout."""
    return Measurements(items=list(await measurements_view(ours.store, rollout_id)))


@router.get("/rollouts/{rollout_id}/explain")
async def explain_rollout(rollout_id: str, ours: Ours) -> Explanation:
    """Show every decision of a rollout with all that it rested on."""
    return await explain(ours.store, rollout_id)


@router.post("/rollouts/{rollout_id}:retry", status_code=202)
async def retry_rollout(rollout_id: str, wanted: CommandRequest, ours: Ours, key: Key = None) -> RolloutView:
    """Try the canary of an ended rollout again, in a new rollout, which is the answer."""
    now = ours.now()
    asked = Retry(
        id=ours.new_id(now),
        rollout=rollout_id,
        generation=wanted.generation,
        author=wanted.author or ours.author,
        reason=wanted.reason,
        idempotency_key=key,
    )
    rollout = await retry(ours.store, asked, now)
    ours.wake.ring()
    return rollout_view(rollout, now)


def _obey(verb: Verb) -> Obey:
    """Return the route of one verb."""

    async def obey(rollout_id: str, wanted: CommandRequest, ours: Ours, key: Key = None) -> RolloutView:
        now = ours.now()
        asked = Command(
            id=ours.new_id(now),
            rollout=rollout_id,
            verb=verb,
            generation=wanted.generation,
            at=now,
            author=wanted.author or ours.author,
            reason=wanted.reason,
            idempotency_key=key,
        )
        rollout = await command(ours.store, asked)
        ours.wake.ring()
        return rollout_view(rollout, now)

    return obey


for _verb in Verb:
    router.add_api_route(
        f"/rollouts/{{rollout_id}}:{_verb.value}",
        _obey(_verb),
        methods=["POST"],
        status_code=202,
        name=f"{_verb.value}_rollout",
        summary=f"Ask to {_verb.value} a rollout as it was seen at a generation; the next tick obeys",
    )
