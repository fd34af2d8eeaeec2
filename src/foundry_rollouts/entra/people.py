"""Who shows a token of the identity provider, and which role its app roles give."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from jwt.exceptions import ExpiredSignatureError, InvalidAudienceError, InvalidIssuerError, PyJWTError

from foundry_rollouts.core.model.access import Person, Role, Way
from foundry_rollouts.entra.keys import Keys
from foundry_rollouts.errors import NotAllowedError, UnknownPersonError

#: Signatures by a pair of keys only: with a shared secret, the public key would do to sign.
ALGORITHMS = ("RS256", "PS256", "ES256")
LONGEST_TOKEN = 16_384
#: How far the provider's clock may be ahead of ours; never how long a token lives on.
CLOCKS_APART = timedelta(minutes=1)
LONGEST_NAME = 128
MOST_GROUPS = 250  #: More than Entra puts into a token.


@dataclass(frozen=True, slots=True)
class Believed:
    """What a token must say to be believed."""

    issuers: Sequence[str]
    audiences: Sequence[str]
    tenant: str | None  #: The directory; None: the issuer alone says it.
    roles: Mapping[str, Role]  #: By app role.


class Entra:
    """The people of one directory."""

    def __init__(self, keys: Keys, believed: Believed, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._believed = believed
        self._now = now

    async def person(self, token: str) -> Person:
        """Return who shows ``token``, an access token for us.

        Raises UnknownPersonError for a token that is not to be believed, NotAllowedError for somebody without a role,
        UnavailableError while the keys cannot be had.
        """
        key = await self._keys.key(_key_id(token))
        if key is None:
            raise UnknownPersonError("the token is signed with a key that its issuer does not have")
        claims = self._checked(token, key, self._believed.audiences)
        # What the sign-in hands to a browser names who signed in, and is no permission to call us.
        if not ({"azp", "appid", "client_id"} & claims.keys()):
            raise UnknownPersonError("the token is no access token: ask for one with our audience")
        return self.known(claims)

    async def signed_in(self, id_token: str, client: str) -> Person:
        """Return whom an ID token names that was issued to ``client``, which is us. Raises as ``person`` does."""
        key = await self._keys.key(_key_id(id_token))
        if key is None:
            raise UnknownPersonError("the token is signed with a key that its issuer does not have")
        return self.known(self._checked(id_token, key, (client,)))

    def known(self, claims: Mapping[str, Any]) -> Person:
        """Return whom ``claims`` name, which must be those of a token that was checked. Raises NotAllowedError."""
        name = _name(claims)
        given = claims.get("roles")
        roles = {self._believed.roles.get(str(role)) for role in given} if isinstance(given, list) else set()
        found = [role for role in Role if role in roles]
        if not found:
            raise NotAllowedError(
                f"{name} has no role here: an administrator of the directory assigns one of the app roles "
                f"{', '.join(self._believed.roles)}"
            )
        return Person(name, found[-1], Way.ENTRA, groups=_groups(claims))

    async def close(self) -> None:
        """Wait for no answer of the provider any more."""
        await self._keys.close()

    def _checked(self, token: str, key: jwt.PyJWK, audiences: Sequence[str]) -> Mapping[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=audiences,
                issuer=self._believed.issuers,
                leeway=CLOCKS_APART,
                options={"require": ["exp", "iss", "aud"]},
            )
        except ExpiredSignatureError:
            raise UnknownPersonError("the token has expired: ask its issuer for another") from None
        except InvalidAudienceError:
            raise UnknownPersonError("the token is meant for another service: ask for one with our audience") from None
        except InvalidIssuerError:
            raise UnknownPersonError("the token is of another issuer than ours") from None
        except (PyJWTError, ValueError, RecursionError):
            raise UnknownPersonError("the token is not valid") from None
        if claims["exp"] <= self._now().timestamp():
            raise UnknownPersonError("the token has expired: ask its issuer for another")
        if self._believed.tenant is not None and claims.get("tid") != self._believed.tenant:
            raise UnknownPersonError("the token is of another directory than ours")
        return claims


def _key_id(token: str) -> str:
    try:
        kid = jwt.get_unverified_header(token)["kid"] if len(token) <= LONGEST_TOKEN else None
    except (PyJWTError, KeyError, ValueError, RecursionError):
        kid = None
    if not isinstance(kid, str):
        raise UnknownPersonError("this token is not known here: send one of ours, or of the identity provider")
    return kid


def _groups(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the groups and the app roles that ``claims`` name; of somebody in too many groups Entra names none."""
    named = [each for claim in ("groups", "roles") if isinstance(claims.get(claim), list) for each in claims[claim]]
    fit = (each for each in named if isinstance(each, str) and each.isprintable() and 0 < len(each) <= LONGEST_NAME)
    return tuple(dict.fromkeys(fit))[:MOST_GROUPS]


def _name(claims: Mapping[str, Any]) -> str:
    """Return the name to record: of a person as they sign in, of a program its application id."""
    for claim in ("preferred_username", "upn", "unique_name"):
        name = claims.get(claim)
        if isinstance(name, str) and name.isprintable() and 0 < len(name) <= LONGEST_NAME:
            return name
    for claim, kind in (("azp", "app"), ("appid", "app"), ("client_id", "app"), ("oid", "user"), ("sub", "user")):
        name = claims.get(claim)
        if isinstance(name, str) and name.isprintable() and 0 < len(name) <= LONGEST_NAME:
            return f"{kind} {name}"
    raise UnknownPersonError("the token names nobody")
