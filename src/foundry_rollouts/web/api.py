"""The ops API: thin routes over the operations."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from starlette.requests import Request

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.core.model.ties import ties
from foundry_rollouts.errors import ConflictError, UnavailableError
from foundry_rollouts.operations.answers import answer_to, settled
from foundry_rollouts.operations.commands import command, without_us
from foundry_rollouts.operations.explain import Explanation, explain
from foundry_rollouts.operations.joining import start_or_join
from foundry_rollouts.operations.lists import (
    RolloutPage,
    agents_view,
    history,
    measurements_view,
    one_agent_view,
    one_rollout,
    one_rollout_view,
    rollouts_view,
    with_commands,
)
from foundry_rollouts.operations.policy_views import policy_view
from foundry_rollouts.operations.start import Retry, Start, retry, trial_of
from foundry_rollouts.operations.views import AgentView, RolloutView, rollout_view, whole_view
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
    StartRequest,
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


@router.post(
    "/rollouts",
    dependencies=[needs(Role.OPERATOR)],
    status_code=201,
    responses={200: {"model": RolloutView, "description": "Joined"}},
)
async def start_rollout(wanted: StartRequest, ours: Ours, by: By, request: Request, response: Response) -> RolloutView:
    """Start a rollout, or join the unfinished one of that version; it queues behind others of the agent."""
    now = ours.now()
    asked = Start(
        id=ours.new_id(now),
        agent=wanted.agent,
        version=wanted.version,
        author=by.who.author(wanted.author),
        policy=wanted.policy,
        idempotency_key=by.key,
        reason=wanted.reason,
    )
    try:
        started = await start_or_join(ours.store, ours.policies, asked, now, ours.catalogue)
    except ConflictError:
        request.state.about = await trial_of(ours.store, asked.agent, asked.version)
        raise
    ours.wake.wake_sweep()
    rollout = started.rollout
    response.headers["Location"] = f"/api/v1/rollouts/{rollout.id}"
    if started.joined:
        response.status_code = 200
    return await with_commands(ours.store, rollout, now, joined=started.joined, answer=started.answer)


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


@router.post("/rollouts/{rollout_id}:retry", dependencies=[needs(Role.OPERATOR)], status_code=202)
async def retry_rollout(rollout_id: str, wanted: CommandRequest, ours: Ours, by: By) -> RolloutView:
    """Retry the canary of an ended rollout in a new rollout, and return that."""
    now = ours.now()
    asked = Retry(
        id=ours.new_id(now),
        rollout=rollout_id,
        generation=wanted.generation,
        author=by.who.author(wanted.author),
        reason=wanted.reason,
        idempotency_key=by.key,
    )
    rollout = await retry(ours.store, asked, now)
    ours.wake.wake_sweep()
    return rollout_view(rollout, now)


def _obey(verb: Verb) -> Obey:
    """Return the route of one verb."""

    async def obey(rollout_id: str, wanted: CommandRequest, ours: Ours, by: By, prefer: Prefer = None) -> RolloutView:
        now = ours.now()
        asked = Command(
            id=ours.new_id(now),
            rollout=rollout_id,
            verb=verb,
            generation=wanted.generation,
            at=now,
            author=by.who.author(wanted.author),
            reason=wanted.reason,
            idempotency_key=by.key,
        )
        try:
            rollout = await command(ours.store, asked)
        except UnavailableError as error:
            raise UnavailableError(f"{error}{without_us(verb)}") from error
        ours.wake.wake_sweep()
        return await _result(ours, asked, rollout, _patience(prefer))

    return obey


def _patience(prefer: str | None) -> timedelta | None:
    """Return how long the caller would wait for the command to be done; None: not at all."""
    found = re.search(r"(?:^|[,;\s])wait=(\d{1,3})(?:$|[,;\s])", prefer or "")
    return timedelta(seconds=int(found[1])) if found else None


async def _answered(ours: Ours, asked: Command, rollout: Rollout, patience: timedelta | None) -> RolloutView:
    if patience is not None:
        await settled(ours.store, asked, min(patience, ours.answer_within))
        answer = await answer_to(ours.store, ours.catalogue, asked, ours.now())
        return await one_rollout_view(ours.store, rollout.id, ours.now(), answer)
    return await with_commands(ours.store, rollout, ours.now())


async def _result(ours: Ours, asked: Command, rollout: Rollout, patience: timedelta | None) -> RolloutView:
    """Return what came of a command that was accepted; where the database went away since, that it was accepted."""
    try:
        return await _answered(ours, asked, rollout, patience)
    except UnavailableError as error:
        answer = f"asked to {asked.verb}, accepted; its result is unknown: {error}"
        return whole_view(rollout, (asked,), ours.now(), answer=answer)


for _verb in Verb:
    router.add_api_route(
        f"/rollouts/{{rollout_id}}:{_verb.value}",
        _obey(_verb),
        methods=["POST"],
        dependencies=[needs(Role.OPERATOR)],
        status_code=202,
        name=f"{_verb.value}_rollout",
        summary=f"{_verb.effect}; Prefer: wait=5 waits for the tick",
    )
