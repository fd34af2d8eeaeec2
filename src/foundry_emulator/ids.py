"""Names the cloud gives: sessions, responses, invocations, requests, identities."""

import re
import secrets
import string
import uuid

AGENT_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
SESSION_ID = re.compile(r"[A-Za-z0-9_-]{8,128}")
_ALPHANUMERIC = string.ascii_letters + string.digits


def guid() -> str:
    """Return a new random GUID."""
    return str(uuid.uuid4())


def session_id() -> str:
    """Return a session id as the platform generates them: 63 lower-case hexadecimal digits."""
    return secrets.token_hex(32)[:63]


def tagged(prefix: str) -> str:
    """Return an id such as ``caresp_…``: an 18-digit partition key and 32 alphanumerics."""
    tail = "".join(secrets.choice(_ALPHANUMERIC) for _ in range(32))
    return f"{prefix}_{secrets.token_hex(9)}{tail}"
