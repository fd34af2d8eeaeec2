"""The page of one rollout while it lives: a stream of those parts that changed, and a beat while nothing does."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import structlog
from fastapi.sse import EventSourceResponse, format_sse_event
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Person, Role
from foundry_rollouts.errors import RolloutsError
from foundry_rollouts.operations.log_tail import LogTailView
from foundry_rollouts.operations.page.charts import Chart
from foundry_rollouts.operations.page.page import PageOfRollout, page_of_rollout
from foundry_rollouts.untrusted import visible
from foundry_rollouts.web.log_tails import NOTHING, Tail, tails_of
from foundry_rollouts.web.render import BANNER, ENVIRONMENT, rendered, without_clocks
from foundry_rollouts.web.services import Services
from foundry_rollouts.web.stream import STREAM_HEADERS, pause

log = structlog.get_logger(__name__)

#: The parts of the page, each a template whose root has the id ``r-NAME``.
PARTS = ("said", "head", "bar", "hero", "track", "gates", "line", "failed", "asks")
#: A chart gets a new point every so many seconds at most.
CHARTS_EVERY = 5.0
#: The beat by which the browser knows that the connection lives.
BEAT_EVERY = 5.0
FRAME = "r-charts"  #: Around the charts.
COME_BACK_MILLISECONDS = 500
GATE_ICONS = {"good": "good", "bad": "cross", "wait": "warn", "moving": "clock", "off": "none"}

_COUNTS = re.compile(r"[\d\u202f ]*\d of [\d\u202f ]*\d")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page: where it goes, how, and what tells that it changed."""

    target: str
    swap: str
    mark: str
    draw: Callable[[], str]

    @property
    def html(self) -> Markup:
        return Markup(self.draw())  # noqa: S704 - rendered by a template

    @property
    def is_chart(self) -> bool:
        return self.target.startswith("chart-")


def strong(text: str) -> Markup:
    """Return ``text``, escaped, with its counts in bold: "**2 of 443** failed"."""
    unbroken = str(escape(visible(text)[:2000])).replace(" : 1", "\u00a0:\u00a01")
    return Markup(_COUNTS.sub(_bold, unbroken))  # noqa: S704 - escaped before


def _bold(found: re.Match[str]) -> str:
    whole = found[0]
    inner = whole.lstrip()
    return f"{whole[: len(whole) - len(inner)]}<b>{inner}</b>"


ENVIRONMENT.filters["strong"] = strong


def look_of(request: Request, seen: PageOfRollout, answer: str = "", logs: LogTailView = NOTHING) -> dict[str, Any]:
    """Return what the templates of the page are drawn with; buttons stay where the role is not enough, and say so."""
    person: Person | None = getattr(request.state, "person", None)
    return {
        "p": seen,
        "active": "agents",
        "answer": answer,
        "may": person is not None and person.role.may(Role.OPERATOR),
        "gate_icons": GATE_ICONS,
        "keys": keys_of(seen),
        "tails": tails_of(seen.rollout, logs),
        "last_line": logs.lines[-1].id if logs.lines else "",
    }


async def page_seen(services: Services, rollout_id: str) -> PageOfRollout:
    """Return the page of a rollout as of now."""
    running = services.logs.running(rollout_id)
    return await page_of_rollout(services.store, services.replays, rollout_id, services.now(), running)


def parts_of(request: Request, seen: PageOfRollout) -> list[Part]:
    """Return every part of the page as it is now."""
    look = look_of(request, seen)
    parts = [_part(f"r-{name}", rendered(request, f"rollout/{name}.html", **look)) for name in PARTS]
    frame = Part(FRAME, "outerMorph", keys_of(seen), lambda: rendered(request, "rollout/charts.html", **look))
    stops = rendered(request, "stops.html")
    banner = Part(BANNER, "innerMorph", sha256(stops.encode()).hexdigest(), lambda: stops)
    return [banner, *parts, frame, *(_chart_part(request, look, chart) for chart in seen.charts)]


def _chart_part(request: Request, look: dict[str, Any], chart: Chart) -> Part:
    """Return a chart, which is drawn only where it is sent: its points are many."""
    return Part(
        f"chart-{chart.key}",
        "outerMorph",
        str(hash(chart)),
        lambda: rendered(request, "rollout/chart.html", chart=chart, **look),
    )


def keys_of(seen: PageOfRollout) -> str:
    """Return which charts the page has: where others come, their frame is drawn anew."""
    return ",".join(chart.key for chart in seen.charts) if seen.is_whole else "later"


def _part(target: str, html: str) -> Part:
    mark = sha256(without_clocks(html).encode()).hexdigest()
    return Part(target, "outerMorph", mark, lambda: html)


def live_page(request: Request, services: Services, rollout_id: str) -> Response:
    """Return the stream of the page: all of it first, since nobody knows what the browser has missed."""
    return EventSourceResponse(_follow(request, services, rollout_id), headers=STREAM_HEADERS)


@dataclass(slots=True)
class Sent:
    """What the browser at the other end has."""

    marks: dict[str, str]
    beaten: float = 0.0
    charted: float = 0.0
    line: str | None = None  #: The id of the last line of the logs.

    def changed(self, parts: list[Part], now: float, *, is_over: bool) -> list[Part]:
        """Return which of ``parts`` are to be sent now, and note them."""
        is_chart_time = now - self.charted >= CHARTS_EVERY or is_over
        news = [part for part in parts if self.marks.get(part.target) != part.mark]
        sent = [part for part in news if is_chart_time or not part.is_chart]
        if any(part.is_chart for part in sent):
            self.charted = now
        self.marks |= {part.target: part.mark for part in sent}
        return sent


async def _follow(request: Request, services: Services, rollout_id: str) -> AsyncIterator[bytes]:
    sent = Sent({FRAME: request.query_params.get("charts", "")}, line=request.query_params.get("line"))
    while not services.stop.is_set():
        try:
            seen = await page_seen(services, rollout_id)
            tail = await services.logs.read(seen.rollout, sent.line)
        except RolloutsError as error:
            # The browser says that the connection is lost, and comes back by itself.
            log.warning("web.stream_ended", rollout=rollout_id, because=str(error))
            return
        now = time.monotonic()
        parts = sent.changed(parts_of(request, seen), now, is_over=seen.is_over)
        tails = tails_of(seen.rollout, tail)
        parts += sent.changed([_head_of(request, each) for each in tails], now, is_over=False)
        parts += [_lines_of(request, each) for each in tails if each.lines]
        sent.line = tail.lines[-1].id if tail.lines else sent.line
        if parts:
            yield _message(request, _without_twice(parts))
        if parts or now - sent.beaten >= BEAT_EVERY:
            sent.beaten = now
            yield _beat(seen)
        await pause(services)


def _head_of(request: Request, tail: Tail) -> Part:
    return _part(f"tail-h-{tail.role}", rendered(request, "rollout/tail_head.html", tail=tail))


def _lines_of(request: Request, tail: Tail) -> Part:
    html = rendered(request, "rollout/tail_lines.html", lines=tail.lines)
    return Part(f"tail-{tail.role}", "beforeend", "", lambda: html)


def _without_twice(parts: list[Part]) -> list[Part]:
    """Leave the charts out where their frame brings them."""
    has_frame = any(part.target == FRAME for part in parts)
    return [part for part in parts if not (has_frame and part.is_chart)]


def _message(request: Request, parts: list[Part]) -> bytes:
    html = rendered(request, "rollout/fragments.html", parts=parts, answer=None)
    return format_sse_event(data_str=html, retry=COME_BACK_MILLISECONDS)


def _beat(seen: PageOfRollout) -> bytes:
    return format_sse_event(event="beat", data_str=json.dumps({"now": seen.at.isoformat(), "title": seen.title}))
