"""The managed-identity endpoints under ``/_identity``: that of App Service, and that of a virtual machine.

``IDENTITY_ENDPOINT=…/_identity/token`` with any ``IDENTITY_HEADER`` makes the first known to a client,
``AZURE_POD_IDENTITY_AUTHORITY_HOST=…/_identity`` the second.
"""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from foundry_emulator.tokens import CALLER_CLIENT, Token, token_for

PREFIX = "/_identity"


def add_token_routes(app: FastAPI) -> None:
    """Add both endpoints to the application."""
    app.add_route(f"{PREFIX}/token", _app_service, ["GET"])
    app.add_route(f"{PREFIX}/metadata/identity/oauth2/token", _virtual_machine, ["GET"])


async def _app_service(request: Request) -> Response:
    if not request.headers.get("x-identity-header"):
        return JSONResponse({"statusCode": 401, "message": "The header X-IDENTITY-HEADER is required."}, 401)
    resource = request.query_params.get("resource")
    if not resource:
        return JSONResponse({"statusCode": 400, "message": "The parameter resource is required."}, 400)
    return JSONResponse(_view(token_for(resource)))


async def _virtual_machine(request: Request) -> Response:
    if request.headers.get("metadata", "").lower() != "true":
        return _refusal("Required metadata header not specified")
    resource = request.query_params.get("resource")
    if not resource:
        return _refusal("Required audience parameter not specified")
    token = token_for(resource)
    times = {"expires_in": str(token.expires_at - token.issued_at), "not_before": str(token.issued_at)}
    return JSONResponse({**_view(token), **times})


def _view(token: Token) -> dict[str, str]:
    return {
        "access_token": token.text,
        "expires_on": str(token.expires_at),
        "resource": token.resource,
        "token_type": "Bearer",
        "client_id": CALLER_CLIENT,
    }


def _refusal(message: str) -> Response:
    return JSONResponse({"error": "invalid_request", "error_description": message}, 400)
