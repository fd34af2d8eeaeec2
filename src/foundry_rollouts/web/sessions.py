"""The cookie that keeps a browser signed in, and the key that its forms carry.

Over https its name makes the browser refuse it from anybody but this host. It is never sent with a request that
another site's page makes, save for following a link here.
"""

from fastapi import Request
from starlette.responses import Response

from foundry_rollouts.core.model.access import Person
from foundry_rollouts.operations.sign_ins import form_key, signed_in
from foundry_rollouts.web.services import services_of

NAME = "rollouts-session"
FORM_KEY = "form-key"  #: The hidden field of our forms.


def shown_secret(request: Request) -> str | None:
    """Return the secret that the browser shows; None: it shows none."""
    return request.cookies.get(name_for(request))


def name_for(request: Request, name: str = NAME) -> str:
    """Return the name of a cookie: over https with the prefix that no other host can set."""
    return f"__Host-{name}" if request.url.scheme == "https" else name


async def person_signed_in(request: Request, secret: str, *, is_use: bool = True) -> Person:
    """Return who is signed in with ``secret``. Raises UnknownPersonError when nobody is any more."""
    services = services_of(request)
    return await signed_in(services.store, secret, services.sign_in_limits, services.now(), is_use=is_use)


def keep(request: Request, answer: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Let the browser keep a cookie that no script can read; without ``seconds`` until the browser is closed."""
    is_secure = request.url.scheme == "https"
    answer.set_cookie(
        name_for(request, name), value, max_age=seconds, path="/", secure=is_secure, httponly=True, samesite="lax"
    )


def drop(request: Request, answer: Response, name: str = NAME) -> None:
    """Let the browser forget a cookie."""
    is_secure = request.url.scheme == "https"
    answer.delete_cookie(name_for(request, name), path="/", secure=is_secure, httponly=True, samesite="lax")


def key_of(request: Request) -> str | None:
    """Return what the forms of this browser carry; None: it is not signed in, so its forms need none."""
    secret = shown_secret(request)
    return form_key(secret) if secret else None
