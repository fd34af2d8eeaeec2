"""The address of a project: what is one, and what would send tokens in the clear."""

import re
from urllib.parse import urlsplit

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import UsageError
from foundry_rollouts.settings.database import ENDPOINT_FORM


def endpoint_of(url: str, *, is_shown: bool = True) -> str:
    """Return the address of a project. Raises ValueError for what is none, or would send tokens in the clear.

    What is said repeats ``url`` only if it may be shown.
    """
    host, said = host_of(url), repr(url) if is_shown else "what is there"
    parts = urlsplit(url if host else "")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError(f"holds more than an address (a login, '?' or '#'): write {ENDPOINT_FORM}")
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"{said} is not a project's address: write {ENDPOINT_FORM}")
    if not re.fullmatch(r".*/api/projects/[^/]+/?", parts.path):
        raise ValueError(f"{said} names no project: write {ENDPOINT_FORM}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{said} would send tokens in the clear: write https")
    return url.rstrip("/")


def checked_endpoint(url: str) -> str:
    """Return the address of a project. Raises UsageError."""
    try:
        return endpoint_of(url)
    except ValueError as error:
        raise UsageError(str(error)) from error
