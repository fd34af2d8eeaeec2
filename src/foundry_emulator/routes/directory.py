"""The directory under ``/_graph``: as much of it as ``az role assignment`` asks to name a principal."""

import re
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from foundry_emulator.bodies import json_object
from foundry_emulator.errors import FoundryError
from foundry_emulator.records import Identity
from foundry_emulator.tokens import CALLER, CALLER_CLIENT
from foundry_emulator.world import World

PREFIX = "/_graph"
_BY_NAME = re.compile(r"servicePrincipalNames/any\(c:c eq '(?P<name>[^']*)'\)")


def add_directory_routes(app: FastAPI, world: World) -> None:
    """Add the requests that name service principals."""

    async def search(request: Request) -> Response:
        match = _BY_NAME.fullmatch(request.query_params.get("$filter", ""))
        if match is None:
            return _refused(400, "Request_UnsupportedQuery", "Only a search by servicePrincipalNames is supported.")
        wanted = match["name"].lower()
        return _found(each for each in _principals(world) if wanted in each["servicePrincipalNames"])

    async def read_one(request: Request) -> Response:
        name = request.path_params["name"]
        for each in _principals(world):
            if each["id"] == name.lower():
                return JSONResponse(each)
        return _refused(404, "Request_ResourceNotFound", f"Resource '{name}' does not exist.")

    async def read_all(request: Request) -> Response:
        try:
            ids = (await json_object(request)).get("ids")
        except FoundryError as error:
            return _refused(400, "Request_BadRequest", error.message)
        if not isinstance(ids, list):
            return _refused(400, "Request_BadRequest", "A list of ids is required.")
        return _found(each for each in _principals(world) if each["id"] in ids)

    app.add_route(f"{PREFIX}/v1.0/servicePrincipals", search, ["GET"])
    app.add_route(f"{PREFIX}/v1.0/servicePrincipals/{{name}}", read_one, ["GET"])
    app.add_route(f"{PREFIX}/v1.0/directoryObjects/getByIds", read_all, ["POST"])


def _principals(world: World) -> Iterable[dict[str, Any]]:
    yield _principal(Identity(CALLER, CALLER_CLIENT), "local-caller")
    for agent in world.state.every_agent():
        name = f"local-{agent.key.project}-{agent.key.name}"
        yield _principal(agent.instance, f"{name}-AgentIdentity")
        yield _principal(agent.blueprint, f"{name}-AgentIdentityBlueprint")


def _principal(identity: Identity, name: str) -> dict[str, Any]:
    return {
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": identity.principal_id,
        "appId": identity.client_id,
        "displayName": name,
        "servicePrincipalNames": [identity.client_id],
    }


def _found(principals: Iterable[dict[str, Any]]) -> Response:
    return JSONResponse({"value": list(principals)})


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
