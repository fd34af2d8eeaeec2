"""Routes that answer people: what goes wrong is a page too, and who is not signed in is asked to."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from foundry_rollouts.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    RolloutsError,
    TooManyError,
    UnavailableError,
    UnknownPersonError,
    UsageError,
)
from foundry_rollouts.web.access import Guarded
from foundry_rollouts.web.auditing import asked_of, refused
from foundry_rollouts.web.render import page, url

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

#: Error to status and heading.
SHOWN: dict[type[RolloutsError], tuple[int, str]] = {
    NotFoundError: (404, "Not found"),
    NotAllowedError: (403, "Not allowed"),
    ConflictError: (409, "It has changed"),
    UsageError: (422, "That cannot be done"),
    TooManyError: (429, "Too many requests"),
    UnavailableError: (503, "Not available just now"),
}


class Page(Guarded):
    """A route that is served to those who have the role it declares; others are asked to sign in."""

    def get_route_handler(self) -> Handler:
        """Return the handler, with pages for what goes wrong."""
        serve = super().get_route_handler()

        async def serve_or_say_why(request: Request) -> Response:
            try:
                return await serve(request)
            except UnknownPersonError as error:
                refused(request, str(error))
                return _ask_to_sign_in(request, error)
            except tuple(SHOWN) as error:
                asked_of(request).because = str(error)
                status, heading = next(SHOWN[kind] for kind in type(error).__mro__ if kind in SHOWN)
                return page(request, "trouble.html", status, heading=heading, because=str(error))

        return serve_or_say_why


def _ask_to_sign_in(request: Request, error: UnknownPersonError) -> Response:
    """Send who opens a page to the sign-in, and a script of a page that lives there too."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    here = path if request.method == "GET" and not path.startswith("/ui/") else "/"
    query = request.url.query if here != "/" else ""
    onward = quote(f"{here}?{query}" if query else here, safe="/")
    where = f"{url(request, '/sign-in')}?next={onward}"
    if request.headers.get("hx-request"):
        return Response(str(error), 401, {"HX-Redirect": where, "WWW-Authenticate": 'Bearer realm="foundry-rollouts"'})
    return RedirectResponse(where, 303)
