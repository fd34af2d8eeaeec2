"""Who calls: the headers that name an end user, and whose session is whose."""

import re

from starlette.requests import Request

from foundry_emulator.errors import FoundryError, invalid
from foundry_emulator.records import AgentRecord, SessionRecord

USER = "x-ms-user-identity"
ISOLATION_KEY = "x-ms-user-isolation-key"
_USER_NAME = re.compile(r"[A-Za-z0-9._:\-@]{1,256}")


def user_of(request: Request, agent: AgentRecord) -> str | None:
    """Return the end user a call is for, or None when it is for the token's own identity.

    With the header scheme of the older protocol the isolation key is required, otherwise it is ignored.
    """
    if _demands_key(agent):
        key = request.headers.get(ISOLATION_KEY)
        if not key:
            raise invalid(f"Header '{ISOLATION_KEY}' is required by this endpoint.", ISOLATION_KEY)
        return key
    user = request.headers.get(USER)
    if user is not None and not _USER_NAME.fullmatch(user):
        raise invalid(f"Header '{USER}' must be 1 to 256 of A-Z a-z 0-9 . _ : - @.", USER)
    return user


def refuse_other_users(session: SessionRecord, user: str | None) -> None:
    """Raise the 403 for a session of another user; the token's own identity reaches all sessions."""
    if user is not None and session.user != user:
        message = f"Session '{session.key.id}' is not accessible to this user."
        raise FoundryError(403, "session_not_accessible", message)


def _demands_key(agent: AgentRecord) -> bool:
    schemes = agent.endpoint["authorization_schemes"]
    return any((scheme.get("isolation_key_source") or {}).get("kind") == "Header" for scheme in schemes)
