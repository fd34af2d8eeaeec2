"""The resource manager under ``/_arm``: role assignments for agent identities, and what ``az`` asks before them.

It has an error envelope and api-versions of its own; its scope is any resource id, and paths compare without case.
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from foundry_emulator.admission import ARM_AUDIENCES, problem_of
from foundry_emulator.bodies import json_object, parsed
from foundry_emulator.errors import FoundryError
from foundry_emulator.ids import guid
from foundry_emulator.roles import ROLES, Assignment, filter_of, subscription_of
from foundry_emulator.routes import subscriptions
from foundry_emulator.tokens import TENANT
from foundry_emulator.world import World

PREFIX = "/_arm"
_API_VERSIONS = ("2022-04-01", "2022-05-01-preview", "2022-09-01", "2022-12-01")
#: The last is what a generated client sends beside an id that has its own path.
_PARAMETERS = frozenset({"api-version", "$filter", "tenantId", "disambiguation_dummy"})
_ASSIGNMENTS = "/{scope:path}/providers/Microsoft.Authorization/roleAssignments"
_DEFINITIONS = "/{scope:path}/providers/Microsoft.Authorization/roleDefinitions"
_DEFINITION_PATH = "/providers/Microsoft.Authorization/roleDefinitions/"
_DISCOVERY = "/metadata/endpoints"
_CHALLENGE = f'Bearer authorization_uri="https://login.microsoftonline.com/{TENANT}", error="invalid_token"'
_METHODS = ["GET", "PUT", "POST", "PATCH", "DELETE"]
_ROLE_ID = re.compile(
    r"(?:/.*)?/providers/Microsoft\.Authorization/roleDefinitions/(?P<role>[0-9a-f-]{36})", re.IGNORECASE
)

_Answer = Callable[[World, Request], Awaitable[Response]]


class _Properties(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    roleDefinitionId: str  # noqa: N815 - the wire's own spelling
    principalId: str  # noqa: N815
    principalType: Literal["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"] | None = None  # noqa: N815
    description: str | None = None


class _AssignmentBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    properties: _Properties


def add_arm_routes(app: FastAPI, world: World) -> None:
    """Add the façade's routes to the application."""
    routes: tuple[tuple[str, str, _Answer], ...] = (
        ("PUT", f"{_ASSIGNMENTS}/{{name}}", _assign),
        ("GET", f"{_ASSIGNMENTS}/{{name}}", _read),
        ("DELETE", f"{_ASSIGNMENTS}/{{name}}", _remove),
        ("GET", _ASSIGNMENTS, _list),
        ("GET", f"{_DEFINITIONS}/{{role}}", _definition),
        ("GET", _DEFINITIONS, _definitions),
        ("GET", "/providers/Microsoft.Authorization/roleDefinitions/{role}", _definition),
        ("GET", "/subscriptions", subscriptions.list_subscriptions),
        ("GET", "/subscriptions/{subscription}", subscriptions.read_subscription),
        ("GET", "/tenants", subscriptions.list_tenants),
        ("GET", _DISCOVERY, subscriptions.endpoints),
        ("*", "/{rest:path}", subscriptions.no_such_resource),
    )
    for method, path, answer in routes:
        app.router.routes.append(_route(path, method, _endpoint(world, answer, is_open=path == _DISCOVERY)))


def _route(path: str, method: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
    route = Route(PREFIX + path, answer, methods=_METHODS if method == "*" else [method])
    route.path_regex = re.compile(route.path_regex.pattern, re.IGNORECASE)
    return route


def _endpoint(world: World, answer: _Answer, *, is_open: bool) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            if not is_open:
                _require_token(request)
            if answer is not subscriptions.no_such_resource:
                _refuse(request)
            response = await answer(world, request)
        except FoundryError as error:
            response = _refused(error)
        for name in ("x-ms-request-id", "x-ms-correlation-request-id"):
            response.headers.setdefault(name, guid())
        return response

    return serve


def _refused(error: FoundryError) -> Response:
    # What the common checks of a body say has another code here.
    code = "InvalidRequestContent" if error.code == "invalid_request_error" else error.code
    challenge = {"WWW-Authenticate": _CHALLENGE} if error.status == 401 else {}
    body = {"error": {"code": code, "message": error.message}}
    return JSONResponse(body, error.status, {**challenge, **error.headers})


def _require_token(request: Request) -> None:
    header = request.headers.get("authorization")
    if header is None:
        raise FoundryError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    problem = problem_of(header, ARM_AUDIENCES)
    if problem:
        raise FoundryError(401, "InvalidAuthenticationToken", f"The access token is invalid: {problem}.")


def _refuse(request: Request) -> None:
    version = request.query_params.get("api-version")
    if version is None:
        raise FoundryError(
            400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required."
        )
    if version not in _API_VERSIONS:
        raise FoundryError(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
    for name in request.query_params:
        if name not in _PARAMETERS:
            raise FoundryError(400, "InvalidQueryParameter", f"The query parameter '{name}' is not supported.")


async def _assign(world: World, request: Request) -> Response:
    if world.switches.arm_forbidden:
        message = "The client does not have authorization to perform action 'roleAssignments/write' over the scope."
        raise FoundryError(403, "AuthorizationFailed", message)
    wanted = parsed(_AssignmentBody, await json_object(request)).properties
    principal = _guid(wanted.principalId, "InvalidPrincipalId")
    _refuse_principal(world, principal)
    assignment = Assignment(
        scope=_scope(request),
        name=_guid(request.path_params["name"], "InvalidRoleAssignmentId"),
        role=_role(wanted.roleDefinitionId),
        principal=principal,
        principal_type=wanted.principalType or "ServicePrincipal",
        description=wanted.description,
    )
    is_new = world.roles.put(assignment)
    return JSONResponse(_view(assignment), 201 if is_new else 200)


async def _read(world: World, request: Request) -> Response:
    return JSONResponse(_view(_known(world, request)))


async def _remove(world: World, request: Request) -> Response:
    found = world.roles.assignment(_scope(request), request.path_params["name"])
    if found is None:
        return Response(status_code=204)
    world.roles.drop(found)
    return JSONResponse(_view(found))


async def _list(world: World, request: Request) -> Response:
    found = world.roles.listed(_scope(request), request.query_params.get("$filter"))
    return JSONResponse({"value": [_view(each) for each in found]})


async def _definition(_: World, request: Request) -> Response:
    role = request.path_params["role"].lower()
    if role not in ROLES:
        raise FoundryError(404, "RoleDefinitionDoesNotExist", f"The role definition '{role}' does not exist.")
    return JSONResponse(_role_view(role, _scope(request)))


async def _definitions(_: World, request: Request) -> Response:
    wanted = filter_of(request.query_params.get("$filter"))
    shown = [role for role, name in ROLES.items() if wanted.role in (None, name.lower())]
    if wanted.kind not in (None, "builtinrole"):
        shown = []
    return JSONResponse({"value": [_role_view(role, _scope(request)) for role in shown]})


def _known(world: World, request: Request) -> Assignment:
    name = request.path_params["name"]
    found = world.roles.assignment(_scope(request), name)
    if found is None:
        raise FoundryError(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
    return found


def _refuse_principal(world: World, principal: str) -> None:
    agent = world.state.agent_of_principal(principal)
    if agent is None:
        return
    if agent.blueprint.principal_id == principal:
        message = f"Principals of type Application cannot validly be used: {principal}."
        raise FoundryError(400, "PrincipalTypeNotSupported", message)
    if world.clock.now() - agent.created_at < world.switches.principal_delay_seconds:
        message = f"Principal {principal.replace('-', '')} does not exist in the directory."
        raise FoundryError(400, "PrincipalNotFound", message)


def _scope(request: Request) -> str:
    return "/" + str(request.path_params.get("scope", "")).strip("/")


def _role(role_id: str) -> str:
    match = _ROLE_ID.fullmatch(role_id)
    role = match["role"].lower() if match else ""
    if role not in ROLES:
        raise FoundryError(
            400, "RoleDefinitionDoesNotExist", f"The specified role definition '{role_id}' does not exist."
        )
    return role


def _guid(text: str, code: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise FoundryError(400, code, f"'{text}' is not a GUID.") from error


def _view(assignment: Assignment) -> dict[str, Any]:
    scope = assignment.scope
    return {
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment.name}",
        "name": assignment.name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": _role_id(assignment.role, scope),
            "principalId": assignment.principal,
            "principalType": assignment.principal_type,
            "scope": scope,
            "description": assignment.description,
        },
    }


def _role_view(role: str, scope: str) -> dict[str, Any]:
    return {
        "id": _role_id(role, scope),
        "name": role,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": ROLES[role],
            "type": "BuiltInRole",
            "description": f"{ROLES[role]}, as the local Foundry knows it.",
            "assignableScopes": ["/"],
            "permissions": [{"actions": [], "notActions": [], "dataActions": [], "notDataActions": []}],
        },
    }


def _role_id(role: str, scope: str) -> str:
    subscription = subscription_of(scope)
    return f"{f'/subscriptions/{subscription}' if subscription else ''}{_DEFINITION_PATH}{role}"
