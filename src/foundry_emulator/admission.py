"""Bearer tokens: any text is one, but a JWT must be meant for the API it is sent to and must not have expired.

Nobody's signature is checked: this is no door, it shows a client that asks for the wrong audience what the cloud shows.
"""

import jwt

AI_AUDIENCES = ("https://ai.azure.com", "https://ai.azure.com/")
ARM_AUDIENCES = (
    *("https://management.azure.com", "https://management.azure.com/"),
    *("https://management.core.windows.net", "https://management.core.windows.net/"),
)
_LEEWAY_SECONDS = 300
_CHECKED = {"verify_signature": False, "verify_aud": True, "verify_exp": True, "verify_nbf": True}


def problem_of(authorization: str, audiences: tuple[str, ...]) -> str | None:
    """Return why the cloud would not let this header in, or None."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return "a bearer token is required"
    try:
        jwt.decode(token.strip(), options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return None
    except RecursionError:
        return "the token's claims cannot be read"
    return _problem_of_claims(token.strip(), audiences)


def _problem_of_claims(token: str, audiences: tuple[str, ...]) -> str | None:
    try:
        checked = {**_CHECKED, "require": ["aud", "exp"]}
        jwt.decode(token, options=checked, audience=audiences, leeway=_LEEWAY_SECONDS)  # type: ignore[arg-type]
    except jwt.InvalidAudienceError:
        return f"the token is for another audience than {audiences[0]}"
    except jwt.ExpiredSignatureError:
        return "the token has expired"
    except (jwt.InvalidTokenError, OverflowError) as error:
        return f"the token is invalid: {error}"
    return None
