"""What ``az`` asks of the resource manager before it does anything: where things are, which subscriptions there are."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from foundry_emulator.errors import FoundryError
from foundry_emulator.roles import subscription_of
from foundry_emulator.tokens import SUBSCRIPTION, TENANT
from foundry_emulator.world import World


async def endpoints(world: World, _: Request) -> Response:
    """Answer ``az cloud register``: every endpoint of this cloud is this emulator."""
    base = world.factory.base_url
    return JSONResponse(
        {
            "name": "FoundryLocal",
            "authentication": {
                "loginEndpoint": f"{base}/_login",
                "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "resourceManager": f"{base}/_arm",
            "microsoftGraphResourceId": f"{base}/_graph",
            "suffixes": {},
        }
    )


async def list_subscriptions(world: World, _: Request) -> Response:
    """List the emulator's own subscription, and those in which roles were assigned."""
    assigned = (subscription_of(scope) for scope in world.roles.scopes())
    known = dict.fromkeys([SUBSCRIPTION, *(each for each in assigned if each)])
    return JSONResponse({"value": [_view(each) for each in known]})


async def read_subscription(_: World, request: Request) -> Response:
    """Return any subscription: every one exists here."""
    return JSONResponse(_view(request.path_params["subscription"].lower()))


async def list_tenants(_: World, __: Request) -> Response:
    """List the one tenant."""
    tenant = {"id": f"/tenants/{TENANT}", "tenantId": TENANT, "displayName": "Local", "tenantCategory": "Home"}
    return JSONResponse({"value": [tenant]})


async def no_such_resource(_: World, request: Request) -> Response:
    """Refuse the rest of the resource manager in its own words."""
    message = f"The local Foundry has no {request.method} {request.url.path.removeprefix('/_arm')}."
    raise FoundryError(404, "ResourceNotFound", message)


def _view(subscription: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{subscription}",
        "subscriptionId": subscription,
        "tenantId": TENANT,
        "displayName": "Local" if subscription == SUBSCRIPTION else f"Local {subscription[:8]}",
        "state": "Enabled",
        "subscriptionPolicies": {"spendingLimit": "Off"},
        "authorizationSource": "RoleBased",
    }
