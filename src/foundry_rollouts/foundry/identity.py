"""Roles of an agent's identity, granted through Azure Resource Manager (ARM), which has an audience of its own."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import NAMESPACE_URL, uuid5

from foundry_rollouts.errors import CloudError, UsageError
from foundry_rollouts.foundry import shapes
from foundry_rollouts.foundry.auth import ARM, TokenSource
from foundry_rollouts.foundry.calls import Call, json_body
from foundry_rollouts.foundry.http import OnRequest, Transport, TransportOptions, Wire
from foundry_rollouts.foundry.polling import Pace, read_until
from foundry_rollouts.foundry.refusals import refusal_of
from foundry_rollouts.foundry.retry import DEFAULT, RetryBudget

ARM_ENDPOINT = "https://management.azure.com"
ROLES = {
    "Foundry User": "53ca6127-db72-4b80-b1b0-d745d6d5456d",
    "Foundry Agent Consumer": "eed3b665-ab3a-47b6-8f48-c9382fb1dad6",
    "Foundry Project Manager": "eadc314b-1a2d-4efa-be10-5d325db5065e",
    "Foundry Owner": "c883944f-8b7b-4483-af10-35834be79c4a",
    "Foundry Account Owner": "e47c6f54-e4a2-4754-9501-8e0985b135e1",
    "Azure AI Developer": "64702f94-c441-49e6-a78b-ef80e0188fee",
    "Cognitive Services User": "a97b65f3-24c7-4388-baec-2e87135dc908",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
}

REPLICATION = Pace(timedelta(minutes=2), first=timedelta(seconds=5), every=timedelta(seconds=10))

_API_VERSION = "2022-04-01"
_ASSIGNMENTS = "providers/Microsoft.Authorization/roleAssignments"
_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)(/[^/].*)?")
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Grant:
    """One role of one identity on one resource and all below it.

    ``scope`` is the ARM id of the resource, ``principal`` the object id of the agent's instance identity (never its
    blueprint's), ``role`` a name of ``ROLES`` or the id of any other role.
    """

    scope: str
    principal: str
    role: str = "Foundry User"

    @property
    def role_definition(self) -> str:
        """The ARM id of the role. Raises UsageError for a name or a scope that cannot be."""
        found = _SUBSCRIPTION.fullmatch(self.scope)
        if not found:
            raise UsageError(f"{self.scope!r} is no scope: it begins with /subscriptions/ and names a resource")
        role = ROLES.get(self.role, self.role)
        if not _GUID.fullmatch(role):
            raise UsageError(f"role {self.role!r} is unknown: use its id, or one of {', '.join(ROLES)}")
        return f"/subscriptions/{found.group(1)}/providers/Microsoft.Authorization/roleDefinitions/{role}"

    @property
    def name(self) -> str:
        """The same for the same grant, so that granting twice is granting once."""
        return str(uuid5(NAMESPACE_URL, f"{self.scope}|{self.principal}|{self.role_definition}"))


@dataclass(frozen=True, slots=True)
class Granted:
    """A role assignment as ARM shows it."""

    id: str
    scope: str
    principal: str
    role_definition: str


class RoleAssignments:
    """Role assignments. Every method raises CloudError; 403 means that the caller may not grant roles."""

    def __init__(self, transport: Transport, replication: Pace = REPLICATION) -> None:
        self._transport = transport
        self._replication = replication

    async def ensure(self, grant: Grant) -> bool:
        """Grant unless it is granted, and return whether that was news.

        A principal that ARM does not know yet is waited for: a new identity takes a minute or two to arrive.
        """
        properties = {
            "roleDefinitionId": grant.role_definition,
            "principalId": grant.principal,
            "principalType": "ServicePrincipal",  # without it ARM looks the principal up, and may not find it yet
        }
        call = Call(
            "roles.grant",
            "PUT",
            f"{_path(grant.scope)}/{_ASSIGNMENTS}/{grant.name}",
            body=json_body({"properties": properties}),
            tolerates=frozenset({400, 409}),
        )

        async def grant_once() -> bool | None:
            reply = await self._transport.request(call)
            if reply.status < 300:
                return reply.status == 201
            refusal = refusal_of(reply.status, reply.headers, reply.content)
            if refusal.code == "RoleAssignmentExists":
                return False
            if refusal.code == "PrincipalNotFound":
                return None
            raise CloudError(call.operation, refusal)

        what = f"the identity {grant.principal} is not known to ARM"
        return bool(await read_until(grant_once, lambda is_news: is_news is not None, self._replication, what))

    async def all(self, scope: str, principal: str) -> AsyncGenerator[Granted, None]:
        """Yield what is granted to ``principal`` at ``scope``."""
        path, params = f"{_path(scope)}/{_ASSIGNMENTS}", {"$filter": f"principalId eq '{principal}'"}
        while True:
            call = Call("roles.list", "GET", path, params=params, shape=shapes.grants())
            json = (await self._transport.request(call)).json
            for item in json.get("value") or ():
                yield _granted(item)
            link = urlsplit(str(json.get("nextLink") or ""))
            if not link.query or (path, dict(parse_qsl(link.query))) == (path, params):
                return
            # Only the query is taken over: a link may name any host, and the token goes along.
            params = dict(parse_qsl(link.query))

    async def aclose(self) -> None:
        await self._transport.aclose()


def role_assignments(
    credential: TokenSource,
    endpoint: str = ARM_ENDPOINT,
    on_request: OnRequest | None = None,
    retries: RetryBudget = DEFAULT,
    wire: Wire | None = None,
) -> RoleAssignments:
    """Return the role assignments behind ``endpoint``; whoever asks for them closes them."""
    options = TransportOptions(on_request, retries, _API_VERSION, ARM, wire)
    return RoleAssignments(Transport(endpoint, credential, options))


def _granted(item: dict[str, Any]) -> Granted:
    found = item.get("properties")
    properties = found if isinstance(found, dict) else {}
    return Granted(
        id=str(item.get("id") or ""),
        scope=str(properties.get("scope") or ""),
        principal=str(properties.get("principalId") or ""),
        role_definition=str(properties.get("roleDefinitionId") or ""),
    )


def _path(scope: str) -> str:
    if not _SUBSCRIPTION.fullmatch(scope) or "/../" in f"{scope}/":
        raise UsageError(f"{scope!r} is no scope: it begins with /subscriptions/ and names a resource")
    return quote(scope.strip("/"))
