"""Who asks, and what they may do: every route declares the role it needs, and none is served without.

    router = APIRouter(route_class=Guarded)

    @router.get("/agents", dependencies=[needs(Role.VIEWER)])
    async def list_agents(ours: Ours, who: Who) -> ...

The check comes before the body is read, so that nothing that somebody unknown sends is parsed.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from foundry_rollouts.addresses import is_loopback
from foundry_rollouts.core.model.access import ANYBODY, Person, Role
from foundry_rollouts.errors import NotAllowedError, UnknownPersonError
from foundry_rollouts.web.services import services_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def needs(role: Role) -> Any:
    """Return the dependency of a route that ``role`` is needed for."""
    return Depends(Needed(role))


class Needed:
    """The role that a route needs."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request) -> None:
        """Raise UnknownPersonError or NotAllowedError unless who asks has the role."""
        person = await person_of(request)
        if not person.role.may(self.role):
            raise NotAllowedError(f"this needs the role {self.role}, and {person.name} has the role {person.role}")


class Guarded(APIRoute):
    """A route that is served to those who have the role it declares; one that declares none is not built."""

    def get_route_handler(self) -> Handler:
        """Return the handler, behind the check."""
        needed, serve = role_of(self), super().get_route_handler()

        async def check_and_serve(request: Request) -> Response:
            await needed(request)
            return await serve(request)

        return check_and_serve


def role_of(route: APIRoute) -> Needed:
    """Return what ``route`` needs. Raises TypeError unless it declares exactly one role."""
    found = [each.dependency for each in route.dependencies if isinstance(each.dependency, Needed)]
    if len(found) != 1:
        raise TypeError(f"{route.path} declares {len(found)} roles: write dependencies=[needs(Role.…)] once")
    return found[0]


async def person_of(request: Request) -> Person:
    """Return who asks, found out once for each request. Raises UnknownPersonError."""
    known: Person | None = getattr(request.state, "person", None)
    if known is None:
        known = request.state.person = await _recognised(request)
    return known


Who = Annotated[Person, Depends(person_of)]


async def _recognised(request: Request) -> Person:
    services = services_of(request)
    if services.is_open and request.client is not None and is_loopback(request.client.host):
        return ANYBODY
    raise UnknownPersonError("nobody is known here without a token: send Authorization: Bearer TOKEN")
