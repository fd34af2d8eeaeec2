"""Tokens as the platform's managed-identity endpoints give them: their claims can be read, and nothing signs them."""

import time
import uuid
from dataclasses import dataclass

import jwt

TENANT = "6f1a3c0e-54f0-4d0e-9d8e-0b6f1c6a8f11"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
#: Who calls: the one identity of this machine.
CALLER = str(uuid.uuid5(uuid.UUID(TENANT), "caller"))
CALLER_CLIENT = str(uuid.uuid5(uuid.UUID(TENANT), "client of the caller"))
_LIFETIME_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token for one resource; its times are real ones, because its reader has a clock of its own."""

    resource: str
    issued_at: int

    @property
    def expires_at(self) -> int:
        """When it ends, in unix seconds."""
        return self.issued_at + _LIFETIME_SECONDS

    @property
    def text(self) -> str:
        """The token itself, in the three parts of a JSON Web Token."""
        claims = {
            "aud": self.resource,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": self.issued_at,
            "nbf": self.issued_at,
            "exp": self.expires_at,
            "tid": TENANT,
            "oid": CALLER,
            "sub": CALLER,
            "appid": CALLER_CLIENT,
            "idtyp": "app",
            "ver": "1.0",
        }
        return jwt.encode(claims, "", algorithm="none")


def token_for(resource: str) -> Token:
    """Return a token for a resource, valid from now on."""
    return Token(resource, int(time.time()))  # noqa: TID251 - callers compare its end with their own clock
