"""The overview: every agent, those that need a person first. Forms are forms, and script adds only life."""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any
from urllib.parse import urlencode

import structlog
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, format_sse_event
from markupsafe import Markup
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.operations.lists import AgentGroup as Group
from foundry_rollouts.operations.overview import Overview, Row, overview, rows_of
from foundry_rollouts.operations.targets import silent_targets
from foundry_rollouts.web.access import Who, needs
from foundry_rollouts.web.figures import count
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.marks import summary_of
from foundry_rollouts.web.render import BANNER, page, rendered, without_clocks
from foundry_rollouts.web.services import Ours, Services
from foundry_rollouts.web.stream import STREAM_HEADERS, pause

log = structlog.get_logger(__name__)
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

#: The browser counts a connection as lost that was silent for more than twice as long.
BEAT_SECONDS = 5.0
#: The rows of a page are read again at every so many checks: a list changes more slowly than a rollout.
CHECKS = 2
NAMES: Mapping[str, str] = {Group.LOOK: "Look here first", Group.MOVING: "Moving", Group.QUIET: "Quiet"}


class Shown(BaseModel):
    """Which agents are shown."""

    q: Annotated[str, Field(max_length=100)] = ""
    show: Annotated[str, Field(pattern="^(all|look|moving|quiet)$")] = "all"
    after: Annotated[str, Field(max_length=500)] = ""


@router.get("/", dependencies=[needs(Role.VIEWER)])
async def show_agents(request: Request, ours: Ours, who: Who, wanted: Annotated[Shown, Query()]) -> HTMLResponse:
    """Show the agents that were asked for."""
    seen = await _overview(ours, wanted)
    more: dict[str, Any] = {"silent": await silent_targets(ours.store, ours.targets, ours.now())}
    if not seen.total:
        more |= {"conditions": await ours.health.conditions(ours.now()), "policies": len(ours.policies.all())}
    return page(request, "overview.html", **_context(seen, wanted, may=who.role.may(Role.OPERATOR)), **more)


@router.get("/ui/agents/live", dependencies=[needs(Role.VIEWER)])
async def follow_agents(request: Request, ours: Ours, who: Who, wanted: Annotated[Shown, Query()]) -> Response:
    """Stream the rows of the page that change."""
    return EventSourceResponse(_follow(request, ours, who.role, wanted), headers=STREAM_HEADERS)


async def _overview(services: Services, wanted: Shown) -> Overview:
    only = None if wanted.show == "all" else Group(wanted.show)
    return await overview(services.store, services.now(), wanted.q.strip() or None, wanted.after, only)


def row_key(name: str) -> str:
    """Return what an agent's rows are known by on the page, whatever its name is made of."""
    return sha256(name.encode()).hexdigest()[:16]


def _context(seen: Overview, wanted: Shown, *, may: bool) -> dict[str, Any]:
    counts = seen.counts
    return {
        "active": "agents",
        "seen": seen,
        "show": wanted.show,
        "words": wanted.q.strip(),
        "after": wanted.after,
        "chips": [(key, NAMES.get(key, "All"), number) for key, number in _counts(seen)],
        "groups": [
            (group, NAMES[group], rows, counts[group])
            for group, rows in ((Group.LOOK, seen.look), (Group.MOVING, seen.moving))
        ],
        "query": lambda after="": urlencode({"q": wanted.q.strip(), "show": wanted.show, "after": after}),
        **_of_rows(may=may),
    }


def _of_rows(*, may: bool) -> dict[str, Any]:
    """Return what the templates of rows need; a button that may not be pressed stays, and says so."""
    lock = "" if may else Markup(' aria-disabled="true" title="Stopping needs the role operator"')
    return {"row_key": row_key, "summary_of": summary_of, "lock": lock}


@dataclass(slots=True)
class _Sent:
    """What the browser at the other end was sent."""

    names: list[str]  #: Of the agents whose rows are on its page.
    rows: dict[str, Row] = field(default_factory=dict)  #: What each agent's row was last, by name.
    marks: dict[str, str] = field(default_factory=dict)  #: What each part of the page was last, by its id.
    beaten: float = 0.0


async def _follow(request: Request, services: Services, role: Role, wanted: Shown) -> AsyncIterator[bytes]:
    """Yield the rows that changed, each in its place, and a beat; all of them first: the page may be older."""
    sent: _Sent | None = None
    while not services.stop.is_set():
        try:
            seen = await _overview(services, wanted)
            sent = sent or _Sent([row.agent.name for row in (*seen.look, *seen.moving, *seen.quiet)])
            rows = await rows_of(services.store, sent.names, services.now())
        except RolloutsError as error:
            # The browser says that the connection is lost, and comes back by itself.
            log.warning("web.stream_ended", page="agents", because=str(error))
            return
        news = _news(request, sent, seen, rows, may=role.may(Role.OPERATOR))
        if news:
            yield format_sse_event(data_str=_message(request, news), retry=500)
        if news or time.monotonic() - sent.beaten >= BEAT_SECONDS:
            sent.beaten = time.monotonic()
            yield format_sse_event(event="beat", data_str=json.dumps(_beat(rows, seen)))
        for _ in range(CHECKS):
            await pause(services)


def _news(request: Request, sent: _Sent, seen: Overview, rows: Sequence[Row], *, may: bool) -> Mapping[str, str]:
    """Return the parts of the page that are not as they were sent last, by their ids.

    A row comes in both its forms, as an item of a list and as a row of the table of quiet agents: the page has one of
    them, from when it was drawn, and an agent may have left its group in between. The browser drops the other.
    """
    parts = {BANNER: rendered(request, "stops.html"), "o-lead": rendered(request, "overview/lead.html", seen=seen)}
    parts |= {f"n-{key}": count(number) for key, number in _counts(seen)}
    parts |= {f"h-{group}": count(seen.counts[group]) for group in Group}
    for row in rows:
        if sent.rows.get(row.agent.name) != row:
            sent.rows[row.agent.name] = row
            key = row_key(row.agent.name)
            parts[f"a-{key}"] = rendered(request, "overview/row.html", row=row, **_of_rows(may=may))
            parts[f"q-{key}"] = rendered(request, "overview/quiet.html", row=row, **_of_rows(may=may))
    marks = {part: without_clocks(html) for part, html in parts.items()}
    news = {part: parts[part] for part, mark in marks.items() if sent.marks.get(part) != mark}
    sent.marks |= marks
    return news


def _message(request: Request, news: Mapping[str, str]) -> str:
    parts = {target: Markup(html) for target, html in news.items()}  # noqa: S704 - rendered by templates
    return rendered(request, "overview/news.html", parts=parts)


def _beat(rows: Sequence[Row], seen: Overview) -> dict[str, Any]:
    """Return what the browser checks its page against: where each row belongs, and which it ought to have."""
    belong = {row_key(row.agent.name): row.group for row in (*rows, *seen.look, *seen.moving)}
    look = seen.counts[Group.LOOK]
    title = f"{look} to check · Agents · foundry-rollouts" if look else "Agents · foundry-rollouts"
    return {"title": title, "groups": belong}


def _counts(seen: Overview) -> list[tuple[str, int]]:
    return [("all", sum(seen.counts.values())), *((group.value, seen.counts[group]) for group in Group)]
