"""The stopped line and holds over the API: who stopped or holds what, why, and until when."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.operations.brakes import (
    Board,
    HoldsView,
    LineView,
    PutOn,
    TakeOff,
    hold_agent,
    holds_view,
    let_go,
    line_view,
    start_line,
    stop_line,
)
from foundry_rollouts.web.access import Guarded, needs
from foundry_rollouts.web.auditing import audited
from foundry_rollouts.web.problems import DOCUMENTED
from foundry_rollouts.web.requester import By
from foundry_rollouts.web.schemas import Instant, Name, Sentence
from foundry_rollouts.web.services import Ours, Services

router = APIRouter(prefix="/api/v1", responses=DOCUMENTED, route_class=Guarded)

LINE = "the line"  #: What the audit log calls it.


class StopRequest(BaseModel):
    """A wish that no rollout begins or rises, of any agent or of those of one project, until then or a word."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "incident 4711", "until": "2126-12-24T18:00:00+01:00"}]},
    )

    reason: Sentence
    until: Instant | None = Field(default=None, description="When it ends by itself; none: when a person starts it.")
    project: Name | None = Field(default=None, description="Only the agents of this project, where there are several.")
    author: Name | None = None


class StartLineRequest(BaseModel):
    """A wish that rollouts go on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "incident 4711 is over"}]})

    reason: Sentence | None = None
    project: Name | None = None
    author: Name | None = None


class HoldRequest(BaseModel):
    """A wish that an agent stays on ``version``, its stable one, until then or a word."""

    model_config = ConfigDict(
        extra="forbid",
        coerce_numbers_to_str=True,
        json_schema_extra={"examples": [{"version": "1", "reason": "version 2 is too slow for the fair"}]},
    )

    version: Name
    reason: Sentence
    until: Instant | None = Field(default=None, description="When it ends by itself; none: when a person ends it.")
    author: Name | None = None


class UnholdRequest(BaseModel):
    """A wish that the versions of an agent go on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "the fair is over"}]})

    reason: Sentence | None = None
    author: Name | None = None


def board_of(ours: Services) -> Board:
    """Return what stops and holds are put on."""
    return Board(ours.store, ours.brakes, ours.projects)


@router.get("/line", dependencies=[needs(Role.VIEWER)])
async def show_line(ours: Ours) -> LineView:
    """Show whether the line is stopped: by whom, why, until when; and the stops that ended last."""
    return await line_view(ours.store, ours.now())


@router.post("/line:stop", dependencies=[needs(Role.OPERATOR), audited("line.stop")])
async def stop_the_line(wanted: StopRequest, ours: Ours, by: By) -> LineView:
    """Stop the line: no rollout begins or rises until then; going back, aborts and disables go through.

    The same author for the same reason stops it once; only the end is taken over.
    """
    author = by.author(wanted.author, wanted.reason, subject=wanted.project or LINE)
    return await stop_line(
        board_of(ours), _put_on(ours, wanted.reason, author, wanted.until, project=wanted.project or "")
    )


@router.post("/line:start", dependencies=[needs(Role.OPERATOR), audited("line.start")])
async def start_the_line(wanted: StartLineRequest, ours: Ours, by: By) -> LineView:
    """Start the line again, whoever stopped it; that of one project by its name. Said again, it changes nothing."""
    author = by.author(wanted.author, wanted.reason, subject=wanted.project or LINE)
    return await start_line(board_of(ours), TakeOff(author, ours.now(), wanted.reason, wanted.project or ""))


@router.get("/holds", dependencies=[needs(Role.VIEWER)])
async def list_holds(ours: Ours) -> HoldsView:
    """List which agents are held: at which version, by whom, why, until when; and the holds that ended last."""
    return await holds_view(ours.store, ours.now())


@router.post("/agents/{agent_name:path}:hold", dependencies=[needs(Role.OPERATOR), audited("agent.hold")])
async def hold_an_agent(agent_name: str, wanted: HoldRequest, ours: Ours, by: By) -> HoldsView:
    """Hold an agent at its stable version: newer ones wait, and a rollout under way waits at its step."""
    author = by.author(wanted.author, wanted.reason, subject=agent_name)
    asked = _put_on(ours, wanted.reason, author, wanted.until, agent=agent_name, version=wanted.version)
    return await hold_agent(board_of(ours), asked)


@router.post("/agents/{agent_name:path}:unhold", dependencies=[needs(Role.OPERATOR), audited("agent.unhold")])
async def let_an_agent_go(agent_name: str, wanted: UnholdRequest, ours: Ours, by: By) -> HoldsView:
    """End the holds of an agent, whoever put them on. Said again, it changes nothing."""
    author = by.author(wanted.author, wanted.reason, subject=agent_name)
    return await let_go(board_of(ours), TakeOff(author, ours.now(), wanted.reason, agent=agent_name))


def _put_on(ours: Services, reason: str, author: str, until: datetime | None, **on: str) -> PutOn:
    now = ours.now()
    return PutOn(ours.new_id(now), author, reason, now, until, **on)
