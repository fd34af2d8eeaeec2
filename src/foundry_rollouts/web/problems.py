"""What went wrong, as problem details (RFC 9457), for programs and people alike.

A problem never repeats what was sent, and an error nobody foresaw says nothing of our insides.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Scope

from foundry_rollouts.errors import (
    AccessError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    RolloutsError,
    TooManyError,
    UnavailableError,
    UnknownPersonError,
    UsageError,
)
from foundry_rollouts.operations.lists import one_rollout, with_commands
from foundry_rollouts.operations.views import RolloutView
from foundry_rollouts.web.problem_pages import example_of, name_of
from foundry_rollouts.web.services import services_of

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
# The same writer as for answers that went well, so that times are written the same way in both.
_BODY: TypeAdapter[Any] = TypeAdapter(Any)

RETRY_AFTER = {"Retry-After": "2"}

#: On every answer: no framing, no guessing of types, nothing loaded from anywhere, nothing kept in caches.
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": ("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class FieldProblem(BaseModel):
    """One field that is wrong."""

    field: str
    problem: str


class Problem(BaseModel):
    """An error; ``current`` is the rollout as it is now, ``errors`` are the fields that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    current: RolloutView | None = None
    errors: list[FieldProblem] | None = None


#: The OpenAPI text of every problem that a route may answer with.
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status.value: {
        "description": status.phrase,
        "content": {MEDIA_TYPE: {"example": example_of(status)}},
        "model": Problem,
    }
    for status in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
}


def problem(
    scope: Scope,
    status: int,
    detail: str,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Build the answer for an error of a request; ``more`` are further members.

    Where the page of the ``type`` is comes from our base path, never from the path that was asked for.
    """
    path = str(scope["path"])
    body = {
        "type": f"{scope.get('root_path', '')}/problems/{name_of(status)}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": path,
        **(more or {}),
    }
    return JSONResponse(_BODY.dump_python(body, mode="json"), status, headers, media_type=MEDIA_TYPE)


def answer_problems(app: FastAPI) -> None:
    """Let ``app`` answer every error with problem details."""
    app.add_exception_handler(RolloutsError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unforeseen)


async def _on_ours(request: Request, error: Exception) -> JSONResponse:
    scope, detail = request.scope, str(error)
    match error:
        case NotFoundError():
            return problem(scope, 404, detail)
        case ConflictError():
            return problem(scope, 409, detail, await _current(request))
        case UsageError():
            return problem(scope, 422, detail)
        case AccessError():
            return _on_access(scope, error)
        case UnavailableError():
            log.warning("web.unavailable", path=scope["path"], because=detail)
            answer = problem(scope, 503, detail)
            answer.headers.update(RETRY_AFTER)
            return answer
        case _:
            log.error("web.failed", path=scope["path"], because=detail)
            return await _on_unforeseen(request, error)


def _on_access(scope: Scope, error: AccessError) -> JSONResponse:
    match error:
        case UnknownPersonError():
            answer = problem(scope, 401, str(error))
            answer.headers["WWW-Authenticate"] = 'Bearer realm="foundry-rollouts"'
        case TooManyError():
            answer = problem(scope, 429, str(error))
            answer.headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
        case NotAllowedError() | _:
            answer = problem(scope, 403, str(error))
    return answer


async def _current(request: Request) -> dict[str, RolloutView]:
    """Return the rollout that the request was about, as it is now; nothing when it was about none."""
    services = services_of(request)
    named, about = request.path_params.get("rollout_id"), getattr(request.state, "about", None)
    try:
        rollout = await one_rollout(services.store, named) if named else about
        current = await with_commands(services.store, rollout, services.now()) if rollout else None
    except RolloutsError:
        # The conflict is the news; that its rollout cannot be shown just now must not hide it.
        return {}
    return {"current": current} if current else {}


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for just that
    errors = [{"field": ".".join(str(part) for part in each["loc"]), "problem": each["msg"]} for each in error.errors()]
    detail = "; ".join(f"{each['field']}: {each['problem']}" for each in errors)
    return problem(request.scope, 422, detail, {"errors": errors})


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for just that
    detail = error.detail
    if error.status_code == 404:
        detail = f"nothing is served at {request.url.path}; /api/openapi.json lists the routes"
    answer = problem(request.scope, error.status_code, detail)
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods_at(request))
    return answer


def _path(request: Request) -> str:
    """Return the path behind the base path."""
    return str(request.scope["path"]).removeprefix(request.scope.get("root_path", ""))


def _methods_at(request: Request) -> list[str]:
    """Return what may be sent to a path: all that its routes take, and of a command's path those of the command."""
    found = [
        route
        for context in iter_route_contexts(request.app.routes)
        if isinstance(route := context.original_route, Route) and route.path_regex.match(_path(request))
    ]
    commands = [route for route in found if ":" in route.path.rpartition("}")[2]]
    return sorted({method for route in commands or found for method in route.methods or ()})


async def _on_unforeseen(request: Request, _error: Exception) -> JSONResponse:
    # The server logs the error itself, with its trace.
    answer = problem(request.scope, 500, "internal error: see the log of the service")
    # This answer is given outside of the guard, so it brings the headers itself.
    answer.headers.update(SAFE_HEADERS)
    return answer
