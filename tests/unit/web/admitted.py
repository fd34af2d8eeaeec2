"""The service as people with tokens meet it: nobody comes in without one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx

from builders import NOON
from foundry_rollouts.core.model.access import ApiToken, Role
from foundry_rollouts.operations.tokens import make_token
from foundry_rollouts.web.services import Services
from unit.web.served import client_of

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Admitted:
    """The service under access control, and a token of each role."""

    services: Services
    secrets: Mapping[Role, str]
    ids: Mapping[Role, str]

    def client(self, shown: str | None = None) -> httpx.AsyncClient:
        """Return a client that shows ``shown`` with every request."""
        client = client_of(self.services)
        if shown is not None:
            client.headers["Authorization"] = f"Bearer {shown}"
        return client

    def as_role(self, role: Role) -> httpx.AsyncClient:
        return self.client(self.secrets[role])


async def admitted(services: Services) -> Admitted:
    """Put ``services`` under access control and make a token for each role."""
    secrets = {}
    for role in Role:
        secrets[role] = await a_secret(services, id=f"t-{role}", owner=f"the {role}", role=role)
    return Admitted(replace(services, is_open=False), secrets, {role: f"t-{role}" for role in Role})


async def a_secret(services: Services, **but: object) -> str:
    """Make a token and return its secret."""
    token = ApiToken("t-1", "ann", Role.ADMIN, NOON, services.now() + DAY)
    return (await make_token(services.store, replace(token, **but))).secret  # type: ignore[arg-type]
