"""The resource manager's role assignments under ``/_arm``, for grants to agent identities.

It has an error envelope and an api-version of its own; its scope is any resource id.
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from foundry_emulator.bodies import json_object, parsed
from foundry_emulator.errors import FoundryError
from foundry_emulator.roles import ROLES, Assignment
from foundry_emulator.world import World

PREFIX = "/_arm"
_API_VERSIONS = ("2022-04-01",)
_ASSIGNMENTS = "/{scope:path}/providers/Microsoft.Authorization/roleAssignments"
_DEFINITIONS = "/{scope:path}/providers/Microsoft.Authorization/roleDefinitions"
_ROLE_ID = re.compile(
    r"(?:/.*)?/providers/Microsoft\.Authorization/roleDefinitions/(?P<role>[0-9a-f-]{36})", re.IGNORECASE
)
_ROLE_FILTER = re.compile(r"roleName eq '(?P<name>[^']+)'")

_Answer = Callable[[World, Request], Awaitable[Response]]


class _Properties(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    roleDefinitionId: str  # noqa: N815 - the wire's own spelling
    principalId: str  # noqa: N815
    principalType: str | None = None  # noqa: N815
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
    )
    for method, path, answer in routes:
        app.add_route(PREFIX + path, _endpoint(world, answer), [method])


def _endpoint(world: World, answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            _refuse(request)
            return await answer(world, request)
        except FoundryError as error:
            body = {"error": {"code": error.code, "message": error.message}}
            return JSONResponse(body, error.status, dict(error.headers))

    return serve


def _refuse(request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise FoundryError(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    version = request.query_params.get("api-version")
    if version is None:
        raise FoundryError(
            400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required."
        )
    if version not in _API_VERSIONS:
        raise FoundryError(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
    for name in request.query_params:
        if name not in ("api-version", "$filter"):
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
    return JSONResponse(_role_view(role))


async def _definitions(_: World, request: Request) -> Response:
    condition = request.query_params.get("$filter")
    match = _ROLE_FILTER.fullmatch(condition) if condition else None
    if condition and match is None:
        raise FoundryError(400, "BadRequestFormat", f"The filter '{condition}' is not supported.")
    shown = [role for role, name in ROLES.items() if match is None or name.lower() == match["name"].lower()]
    return JSONResponse({"value": [_role_view(role) for role in shown]})


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
    return "/" + str(request.path_params["scope"]).strip("/")


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
            "roleDefinitionId": _role_view(assignment.role, _subscription(scope))["id"],
            "principalId": assignment.principal,
            "principalType": assignment.principal_type,
            "scope": scope,
        },
    }


def _role_view(role: str, subscription: str = "") -> dict[str, Any]:
    return {
        "id": f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
        "name": role,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {"roleName": ROLES[role], "type": "BuiltInRole"},
    }


def _subscription(scope: str) -> str:
    parts = scope.split("/")
    return "/".join(parts[:3]) if parts[1:2] == ["subscriptions"] else ""
