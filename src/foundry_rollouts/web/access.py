"""Who asks, and what they may do: every route declares the role it needs, and none is served without.

    router = APIRouter(route_class=Guarded)

    @router.get("/agents", dependencies=[needs(Role.VIEWER)])
    async def list_agents(ours: Ours, who: Who) -> ...

The check comes before the body is read, so that nothing that somebody unknown sends is parsed.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from foundry_rollouts.addresses import is_loopback, network_of
from foundry_rollouts.core.model.access import ANYBODY, Person, Role
from foundry_rollouts.errors import AccessError, NotAllowedError, TooManyError, UnavailableError, UnknownPersonError
from foundry_rollouts.operations.tokens import PREFIX, person_with
from foundry_rollouts.web.auditing import asked_of
from foundry_rollouts.web.forwarded import PASSED_ON
from foundry_rollouts.web.services import Services, services_of
from foundry_rollouts.web.sessions import person_signed_in, shown_secret

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def needs(role: Role | None) -> Any:
    """Return the dependency of a route that ``role`` is needed for; None: any, of somebody who is known."""
    return Depends(Needed(role))


class Needed:
    """The role that a route needs."""

    def __init__(self, role: Role | None) -> None:
        self.role = role

    async def __call__(self, request: Request) -> None:
        """Raise UnknownPersonError or NotAllowedError unless who asks has the role."""
        person = await person_of(request)
        if self.role and not person.role.may(self.role):
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
    """Return who asks, found out and counted once for each request.

    Raises UnknownPersonError, or TooManyError for somebody who asks too often.
    """
    known: Person | None = getattr(request.state, "person", None)
    if known is None:
        services, now = services_of(request), asyncio.get_running_loop().time()
        try:
            known = await recognised(services, request)
        except UnknownPersonError:
            _count(services, f"address {network_of(_address(request))}", now)
            raise
        if known is not ANYBODY:
            try:
                _count(services, f"{known.way} {known.token or known.name}", now)
            except TooManyError:
                asked_of(request).author = known.name
                raise
        request.state.person = known
    return known


Who = Annotated[Person, Depends(person_of)]


async def may_view(request: Request) -> bool:
    """Whether who asks may read; nobody is refused."""
    try:
        return (await person_of(request)).role.may(Role.VIEWER)
    except (AccessError, UnavailableError):
        return False


async def admit_scraper(request: Request) -> None:
    """Raise UnknownPersonError or NotAllowedError unless who asks shows the token of a viewer, wherever from."""
    await Needed(Role.VIEWER)(request)
    if await person_of(request) is ANYBODY:
        raise UnknownPersonError("metrics are read with the token of a viewer: send Authorization: Bearer TOKEN")


async def recognised(services: Services, request: Request, *, is_use: bool = True) -> Person:
    """Return who ``request`` comes from by what it shows. Raises UnknownPersonError.

    A token of ours is checked, also where nothing needs to be: a wrong one never makes somebody of anybody. On a
    machine that is open, what programs send to whoever listens is no matter: it opens nothing, and keeps nobody out.
    Unless it ``is_use``, nobody counts as busy by it.
    """
    shown = request.headers.getlist("authorization")
    is_open = services.is_open and is_loopback(_address(request))
    if shown and (not is_open or any(PREFIX in each for each in shown)):
        return await _bearer(services, shown)
    if secret := shown_secret(request):
        return await person_signed_in(request, secret, is_use=is_use)
    if is_open:
        if getattr(request.state, PASSED_ON, False):
            raise UnknownPersonError(
                "a proxy brought this, so anybody may have asked: send the header Authorization: Bearer TOKEN, and set "
                "FOUNDRY_ROLLOUTS_TRUSTED_PROXIES"
            )
        return ANYBODY
    raise UnknownPersonError("nobody is known here without a token: send the header Authorization: Bearer TOKEN")


async def _bearer(services: Services, shown: list[str]) -> Person:
    scheme, _, token = shown[0].partition(" ")
    token = token.strip()
    if len(shown) > 1 or scheme.lower() != "bearer" or not token:
        raise UnknownPersonError("send one header Authorization: Bearer TOKEN")
    if token.startswith(PREFIX):
        return await person_with(services.store, token, services.now())
    if services.identities is None:
        raise UnknownPersonError("this token is not known here: ask an admin for one")
    return await services.identities.person(token)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _count(services: Services, name: str, now: float) -> None:
    """Raise TooManyError when ``name`` asked too often."""
    wait = services.buckets.take(name, now)
    if wait is not None:
        raise TooManyError("too many requests: slow down, or ask for batches", wait)
