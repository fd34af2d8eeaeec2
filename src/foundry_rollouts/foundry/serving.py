"""Which version is asked to serve one call, and which one did: the headers of both directions.

The service may obey, ignore or refuse the wish, or know nothing of it. Only the first answer to a call counts.
"""

import re
from collections.abc import Mapping
from typing import Any

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.refusals import one_word
from foundry_rollouts.ports import Serving
from foundry_rollouts.ports.serving import NEWEST

OVERRIDE = "x-agent-version-override"
_RESOLVED = "x-agent-version-resolved"
_RESOLUTION = "x-agent-version-resolution"
_FALLBACK = "x-agent-version-fallback"
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SESSION = "agent_session_id"
_SESSION_HEADER = "x-agent-session-id"
_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}")
_TRUTH = {"": False, "false": False, "true": True}


def refuse_bad_override(version: str) -> None:
    """Raise UsageError for what cannot be asked for by a header."""
    if not _VERSION.fullmatch(version):
        raise UsageError(f"version {version!r}: letters, digits and ._- name a version, or 'latest' the newest")


def serving_of(headers: Mapping[str, str]) -> Serving:
    """Return what the headers of a first answer say of the version behind it; several values of one are none."""
    resolved = headers.get(_RESOLVED, "").strip()
    is_version = _VERSION.fullmatch(resolved) and resolved != NEWEST
    return Serving(
        resolved if is_version else None,
        _TRUTH.get(headers.get(_FALLBACK, "").strip().lower()),
        one_word(headers[_RESOLUTION]) if headers.get(_RESOLUTION) else None,
    )


def session_of(headers: Mapping[str, str], response: Mapping[str, Any]) -> str | None:
    """Return the session of an answer, by its header or by the response; what can be no id, or is two, is none."""
    named = (headers.get(_SESSION_HEADER, "").strip(), response.get(_SESSION))
    return next((each for each in named if isinstance(each, str) and _SESSION_ID.fullmatch(each)), None)


def version_of(headers: Mapping[str, str], response: Mapping[str, Any]) -> str | None:
    """Return which version answered: by the header that names it, else by the reference in the response.

    None: the answer does not say so, which means nothing. A header that is no version, or several, is none.
    """
    if resolved := serving_of(headers).resolved:
        return resolved
    reference = response.get("agent_reference")
    version = reference.get("version") if isinstance(reference, dict) else None
    return str(version) if isinstance(version, str | int) and _VERSION.fullmatch(str(version)) else None
