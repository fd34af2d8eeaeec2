"""The commands of the ops API: start a rollout, say how one goes on, acknowledge how one ended."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from fastapi import APIRouter, Response
from starlette.requests import Request

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.approval import Approver
from foundry_rollouts.core.model.command import Command, Verb
from foundry_rollouts.core.model.rollout import Rollout
from foundry_rollouts.errors import ConflictError, UnavailableError
from foundry_rollouts.operations.acknowledge import Acknowledge, acknowledge
from foundry_rollouts.operations.answers import answer_to, settled
from foundry_rollouts.operations.commands import command, without_us
from foundry_rollouts.operations.joining import start_or_join
from foundry_rollouts.operations.lists import one_rollout_view, with_commands
from foundry_rollouts.operations.start import Retry, Start, retry, trial_of
from foundry_rollouts.operations.views import RolloutView, rollout_view, whole_view
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.auditing import audited
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.requester import By
from foundry_rollouts.web.schemas import AcknowledgeRequest, CommandRequest, Prefer, StartRequest
from foundry_rollouts.web.services import Ours

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)

Obey = Callable[[str, CommandRequest, Ours, By, Prefer], Awaitable[RolloutView]]


@router.post(
    "/rollouts",
    dependencies=[needs(Role.OPERATOR), audited("rollout.start")],
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
        author=by.author(wanted.author, wanted.reason, subject=f"{wanted.agent} {wanted.version}"),
        policy=wanted.policy,
        idempotency_key=by.key,
        reason=wanted.reason,
        created_at=wanted.created_at,
    )
    try:
        started = await start_or_join(ours.store, ours.policies, asked, now, ours.catalogue)
    except ConflictError:
        request.state.about = await trial_of(ours.store, asked.agent, asked.version)
        raise
    ours.wake.wake_sweep()
    rollout = started.rollout
    by.asked.subject = rollout.id
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/api/v1/rollouts/{rollout.id}"
    if started.joined:
        response.status_code = 200
    return await with_commands(ours.store, rollout, now, joined=started.joined, answer=started.answer)


@router.post(
    "/rollouts/{rollout_id}:retry", dependencies=[needs(Role.OPERATOR), audited("rollout.retry")], status_code=202
)
async def retry_rollout(rollout_id: str, wanted: CommandRequest, ours: Ours, by: By) -> RolloutView:
    """Retry the canary of an ended rollout in a new rollout, and return that."""
    now = ours.now()
    asked = Retry(
        id=ours.new_id(now),
        rollout=rollout_id,
        generation=wanted.generation,
        author=by.author(wanted.author, wanted.reason, wanted.generation),
        reason=wanted.reason,
        idempotency_key=by.key,
    )
    rollout = await retry(ours.store, asked, now)
    ours.wake.wake_sweep()
    return rollout_view(rollout, now)


@router.post("/rollouts/{rollout_id}:acknowledge", dependencies=[needs(Role.OPERATOR), audited("rollout.acknowledge")])
async def acknowledge_rollout(rollout_id: str, wanted: AcknowledgeRequest, ours: Ours, by: By) -> RolloutView:
    """Acknowledge that a rollout ended badly; until somebody does, it stays on top. Said again, it changes nothing."""
    author = by.author(wanted.author, wanted.reason, wanted.generation)
    asked = Acknowledge(rollout_id, author, wanted.generation, wanted.reason)
    return await acknowledge(ours.store, asked, ours.now())


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
            author=by.author(wanted.author, wanted.reason, wanted.generation),
            reason=wanted.reason,
            idempotency_key=by.key,
            about=wanted.fingerprint,
        )
        try:
            rollout = await command(ours.store, asked, Approver.of(by.who, wanted.author))
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
        dependencies=[needs(Role.OPERATOR), audited(f"rollout.{_verb.value}")],
        status_code=202,
        name=f"{_verb.value}_rollout",
        summary=f"{_verb.effect}; Prefer: wait=5 waits for the tick",
    )
