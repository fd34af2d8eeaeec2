"""Pages out of templates: every text is escaped, control characters are written out, links know the base path.

``page()`` answers with a whole page, ``fragment()`` with a part of one. Both carry the policy under which the browser
loads nothing from anywhere else and runs no script that is not a file of ours.
"""

import re
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from foundry_rollouts.core.model.access import Person, Role
from foundry_rollouts.operations.brakes import stops_in
from foundry_rollouts.untrusted import visible
from foundry_rollouts.web import figures
from foundry_rollouts.web.services import services_of
from foundry_rollouts.web.sessions import FORM_KEY, key_of

HERE = Path(__file__).parent
STATIC = HERE / "static"
STATIC_PATH = "/static"
SHOWN = 2000  #: Characters of one text that a page shows; what others wrote may be longer than a page.

_CLOCKS = re.compile(r"(data-(?:until|since)=\"[^\"]*\">)[^<]*<")

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Without a referrer a browser names the origin of a form "null", and the guard could not tell our forms from others'.
REFERRER_POLICY = "same-origin"
#: Where each page says that the line is stopped.
BANNER = "b-line"
#: Name, path and key of the pages in the top bar.
NAVIGATION = (
    ("Agents", "/", "agents"),
    ("History", "/history", "history"),
    ("Policies", "/policies", "policies"),
    ("Line", "/line", "line"),
    ("Audit", "/audit", "audit"),
)


def _shown(value: object) -> object:
    """Return what stands on the page for ``value``: text of any origin without a character that does something."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = visible(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


@cache
def _icon(name: str) -> Markup:
    """Return one icon of the sprite."""
    return Markup('<svg class="i" aria-hidden="true"><use href="#i-{}"/></svg>').format(name)


def _release() -> str:
    try:
        return version_of("foundry-rollouts")
    except PackageNotFoundError:
        return ""


ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # Each row of a list is a template, and each would be looked for on the disk.
    finalize=_shown,
)
ENVIRONMENT.filters.update(figures.FILTERS)
ENVIRONMENT.globals.update(icon=_icon, navigation=NAVIGATION, release=_release())


def page(request: Request, name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Answer with the page ``name``; ``active`` in ``context`` is the key of the page in the top bar."""
    return _answer(request, name, status, context)


def fragment(request: Request, name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Answer with a part of a page."""
    return _answer(request, name, status, context)


def rendered(request: Request, name: str, **context: Any) -> str:
    """Return the HTML of a template, for a stream."""
    return ENVIRONMENT.get_template(name).render(_context(request, context))


def without_clocks(html: str) -> str:
    """Return ``html`` without what a clock in the browser goes on with: that alone is no news."""
    return _CLOCKS.sub(r"\1<", html)


def url(request: Request, path: str) -> str:
    """Return the address of ``path`` as the browser sees it: behind the base path."""
    return f"{services_of(request).base_path}{path}"


def _answer(request: Request, name: str, status: int, context: dict[str, Any]) -> HTMLResponse:
    headers = {"Content-Security-Policy": CONTENT_POLICY, "Referrer-Policy": REFERRER_POLICY}
    return HTMLResponse(rendered(request, name, **context), status, headers=headers)


def _context(request: Request, context: dict[str, Any]) -> dict[str, Any]:
    services = services_of(request)
    now: datetime = services.now()
    person: Person | None = getattr(request.state, "person", None)
    return {
        "now": now,
        "person": person,
        "may_stop": person is not None and person.role.may(Role.OPERATOR),
        "stops": stops_in(services.brakes.last, now) if services.brakes else (),
        "project": services.project,
        "active": "",
        "here": request.scope["path"].removeprefix(services.base_path),
        "form_field": lambda: _form_field(request),
        "url": lambda path: url(request, path),
        "static": lambda path: f"{url(request, STATIC_PATH)}/{path}?v={_mark(path)}",
        **context,
    }


def _form_field(request: Request) -> Markup:
    """Return the hidden field by which a form shows that it was drawn for this browser's sign-in."""
    key = key_of(request)
    return Markup('<input type="hidden" name="{}" value="{}">').format(FORM_KEY, key) if key else Markup("")


@cache
def _mark(path: str) -> str:
    """Return what changes when the file does, so that browsers may keep it for good."""
    return sha256((STATIC / path).read_bytes()).hexdigest()[:12]


class OurFiles(StaticFiles):
    """Files of ours that a browser keeps: their address changes when they do."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, to be kept for good when its address names its content."""
        answer = await super().get_response(path, scope)
        is_named = b"v=" in scope.get("query_string", b"")
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_named else "no-cache"
        return answer


def serve_static(app: FastAPI) -> None:
    """Let ``app`` serve the files of the pages."""
    app.mount(STATIC_PATH, OurFiles(directory=STATIC), name="static")
