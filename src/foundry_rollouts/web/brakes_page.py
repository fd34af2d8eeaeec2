"""The page of the line: who stopped it, who holds which agent, and forms for both. No script is needed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.errors import ConflictError, UsageError
from foundry_rollouts.operations.brakes import (
    PutOn,
    TakeOff,
    hold_agent,
    holds_view,
    let_go,
    line_view,
    start_line,
    stop_line,
)
from foundry_rollouts.web.access import Who, needs
from foundry_rollouts.web.auditing import asked_of, audited, refused
from foundry_rollouts.web.brakes import LINE, HoldRequest, StartLineRequest, StopRequest, UnholdRequest, board_of
from foundry_rollouts.web.forms import Form
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.render import page, url
from foundry_rollouts.web.schemas import Name
from foundry_rollouts.web.services import Ours, Services

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)


MOST_DIGITS = 4  #: Of the hours that something lasts: more than a year is a slip.


class HoldForm(HoldRequest):
    """A hold, as the form of the page asks for it."""

    agent: Name


class UnholdForm(UnholdRequest):
    """The end of a hold, as the form of the page asks for it."""

    agent: Name


@dataclass(frozen=True, slots=True)
class Wish:
    """What a form asks, and of whom."""

    form: Mapping[str, object]
    author: str
    now: datetime


@router.get("/line", dependencies=[needs(Role.VIEWER)])
async def show_line(request: Request, ours: Ours, who: Who) -> HTMLResponse:
    """Show who stopped the line and who holds which agent, now and before."""
    return await _page(request, ours, may=who.role.may(Role.OPERATOR))


async def _page(request: Request, ours: Services, *, may: bool, status: int = 200, said: str = "") -> HTMLResponse:
    now = ours.now()
    line, holds = await line_view(ours.store, now), await holds_view(ours.store, now)
    more = {"line": line, "holds": holds, "projects": ours.projects, "may": may, "said": said}
    return page(request, "line.html", status, active="line", **more)


async def _stop(ours: Services, asked: Wish) -> str:
    wanted = StopRequest.model_validate(asked.form)
    project = wanted.project or ""
    made = PutOn(ours.new_id(asked.now), asked.author, wanted.reason, asked.now, wanted.until, project)
    await stop_line(board_of(ours), made)
    return project or LINE


async def _start(ours: Services, asked: Wish) -> str:
    wanted = StartLineRequest.model_validate(asked.form)
    await start_line(board_of(ours), TakeOff(asked.author, asked.now, wanted.reason, wanted.project or ""))
    return wanted.project or LINE


async def _hold(ours: Services, asked: Wish) -> str:
    wanted = HoldForm.model_validate(asked.form)
    made = PutOn(
        ours.new_id(asked.now),
        asked.author,
        wanted.reason,
        asked.now,
        wanted.until,
        agent=wanted.agent,
        version=wanted.version,
    )
    await hold_agent(board_of(ours), made)
    return wanted.agent


async def _unhold(ours: Services, asked: Wish) -> str:
    wanted = UnholdForm.model_validate(asked.form)
    await let_go(board_of(ours), TakeOff(asked.author, asked.now, wanted.reason, agent=wanted.agent))
    return wanted.agent


Do = Callable[[Services, Wish], Awaitable[str]]


def _give(do: Do) -> Callable[[Request, Form, Who, Ours], Awaitable[Response]]:
    """Return the route of one form."""

    async def give(request: Request, form: Form, who: Who, ours: Ours) -> Response:
        """Do what a form asks; the answer is the page that it was sent from, or why nothing was done."""
        noted, now = asked_of(request), ours.now()
        noted.author, noted.reason, noted.subject = who.author(None), form.get("reason"), form.get("agent")
        try:
            noted.subject = await do(ours, Wish(_asked(form, now), who.author(None), now))
        except (ConflictError, UsageError, ValidationError) as error:
            said = _in_words(error) if isinstance(error, ValidationError) else str(error)
            refused(request, said)
            status = 409 if isinstance(error, ConflictError) else 422
            return await _page(request, ours, may=True, status=status, said=f"Nothing was done: {said}.")
        return RedirectResponse(url(request, "/line"), 303)

    return give


def _asked(form: Mapping[str, str], now: datetime) -> dict[str, object]:
    """Return the fields as the API takes them: the reason in one line, an end instead of a span."""
    asked: dict[str, object] = dict(form)
    if reason := " ".join(form.get("reason", "").split()):
        asked["reason"] = reason
    if hours := str(asked.pop("hours", "")):
        if not hours.isascii() or not hours.isdigit() or len(hours) > MOST_DIGITS:
            raise UsageError("for how long is said in whole hours")
        asked["until"] = now + timedelta(hours=int(hours))
    return asked


def _in_words(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


for _path, _do, _action in (
    ("/ui/line:stop", _stop, "line.stop"),
    ("/ui/line:start", _start, "line.start"),
    ("/ui/holds:hold", _hold, "agent.hold"),
    ("/ui/holds:unhold", _unhold, "agent.unhold"),
):
    router.add_api_route(
        _path,
        _give(_do),
        methods=["POST"],
        dependencies=[needs(Role.OPERATOR), audited(_action)],
        name=f"press_{_do.__name__.strip('_')}_line",
    )
