"""Signing in with a token or with the organisation's identity provider, and signing out, here or everywhere."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from foundry_rollouts.core.model.access import Person, Role
from foundry_rollouts.errors import AccessError, UnavailableError, UnknownPersonError
from foundry_rollouts.operations.sign_ins import begin_sign_in, sign_out, sign_out_everywhere
from foundry_rollouts.operations.tokens import person_with
from foundry_rollouts.web.access import Who, needs
from foundry_rollouts.web.auditing import audited, refused
from foundry_rollouts.web.forms import Form, read_form
from foundry_rollouts.web.html import Page
from foundry_rollouts.web.render import page, url
from foundry_rollouts.web.services import Ours, Services, services_of
from foundry_rollouts.web.sessions import NAME, drop, keep, name_for, shown_secret

log = structlog.get_logger(__name__)

#: Nobody can be asked for a role before they have signed in.
public = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=Page)

BEGUN = "rollouts-sign-in"  #: The cookie between leaving for the identity provider and coming back.
BEGUN_SECONDS = 600
#: A page of ours and nothing that a browser takes for another host.
OURS = re.compile(r"/(?![/\\])[\x21-\x7e]{0,500}")
_BEGUN: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


@public.get("/sign-in")
async def show_sign_in(request: Request, ours: Ours) -> HTMLResponse:
    """Show how to sign in; the address of the page to go on to comes along."""
    return _again(request, ours, None, 200, request.query_params.get("next", "/"))


@public.post("/ui/sign-in", dependencies=[audited("sign-in")])
async def sign_in_with_token(request: Request, ours: Ours) -> Response:
    """Sign in with an API token, which the browser does not keep."""
    form = await read_form(request)
    onward = wanted_page(form.get("next", "/"))
    try:
        person = await person_with(ours.store, form.get("token", ""), ours.now())
        if not person.role.may(Role.VIEWER):
            return _again(request, ours, f"this token has the role {person.role}, which sees no pages", 403, onward)
    except AccessError as error:
        return _again(request, ours, str(error), 401, onward)
    return await _enter(request, person, onward)


@public.get("/ui/sign-in/entra")
async def leave_for_provider(request: Request, ours: Ours) -> Response:
    """Send the browser to the identity provider; it comes back with a code."""
    onward = wanted_page(request.query_params.get("next", "/"))
    if ours.directory is None:
        return _again(request, ours, "no identity provider is set here", 404, onward)
    try:
        begun = await ours.directory.begin(_back(request))
    except UnavailableError as error:
        return _again(request, ours, str(error), 503, onward)
    answer = RedirectResponse(begun["auth_uri"], 303)
    kept = {name: value for name, value in begun.items() if name != "auth_uri"}
    keep(request, answer, BEGUN, _packed({**kept, "next": onward}), BEGUN_SECONDS)
    return answer


@public.get("/ui/sign-in/entra/back", dependencies=[audited("sign-in")])
async def return_from_provider(request: Request, ours: Ours) -> Response:
    """Sign in who comes back from the identity provider, when it was this browser that left."""
    begun = _unpacked(request.cookies.get(name_for(request, BEGUN), ""))
    onward = wanted_page(begun.pop("next", "/"))
    try:
        person = await _identified(ours, begun, dict(request.query_params))
        if not person.role.may(Role.VIEWER):
            return _again(request, ours, f"{person.name} has the role {person.role}, which sees no pages", 403, onward)
    except AccessError as error:
        answer: Response = _again(request, ours, str(error), 401, onward)
    except UnavailableError as error:
        answer = _again(request, ours, str(error), 503, onward)
    else:
        answer = await _enter(request, person, onward)
    drop(request, answer, BEGUN)
    return answer


@router.post("/ui/sign-out", dependencies=[needs(Role.VIEWER), audited("sign-out")])
async def leave(request: Request, ours: Ours, who: Who, form: Form) -> Response:
    """Sign out in this browser, or in every one."""
    if form.get("where") == "everywhere":
        ended = await sign_out_everywhere(ours.store, who)
        log.info("web.signed_out_everywhere", who=who.name, count=ended)
    elif secret := shown_secret(request):
        await sign_out(ours.store, secret)
    answer = RedirectResponse(url(request, "/sign-in"), 303)
    drop(request, answer)
    return answer


def wanted_page(path: str) -> str:
    """Return the page to go on to: ``path`` when it is one of ours, else the first one."""
    return path if OURS.fullmatch(path) else "/"


async def _identified(ours: Services, begun: Mapping[str, str], answer: Mapping[str, str]) -> Person:
    if ours.directory is None:
        raise UnknownPersonError("no identity provider is set here")
    return await ours.directory.finish(begun, answer)


async def _enter(request: Request, person: Person, onward: str) -> Response:
    """Sign ``person`` in under a new secret; what the browser was signed in with before ends."""
    services = services_of(request)
    request.state.person = person  # for the audit log
    if before := shown_secret(request):
        await sign_out(services.store, before)
    secret = await begin_sign_in(services.store, person, services.sign_in_limits, services.now())
    answer = RedirectResponse(url(request, onward), 303)
    keep(request, answer, NAME, secret)
    request.state.person = person
    log.info("web.signed_in", who=person.name, role=person.role, way=person.way)
    return answer


def _again(request: Request, ours: Services, because: str | None, status: int, onward: str) -> HTMLResponse:
    if because is not None:
        refused(request, because)
    more: dict[str, Any] = {
        "because": because,
        "next": wanted_page(onward),
        "has_provider": ours.directory is not None,
        "is_open": ours.is_open,
        "hours": ours.sign_in_limits.idle.total_seconds() / 3600,
    }
    return page(request, "sign-in.html", status, **more)


def _back(request: Request) -> str:
    """Return the address to which the identity provider sends the browser back; the provider knows it beforehand."""
    return f"{request.url.scheme}://{request.url.netloc}{url(request, '/ui/sign-in/entra/back')}"


def _packed(begun: Mapping[str, str]) -> str:
    return urlsafe_b64encode(_BEGUN.dump_json(dict(begun))).decode()


def _unpacked(text: str) -> dict[str, str]:
    try:
        return _BEGUN.validate_json(urlsafe_b64decode(text.encode()))
    except (ValueError, ValidationError):
        return {}
