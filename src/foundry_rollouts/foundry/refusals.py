"""Read a refusal out of whatever the cloud answered: its envelope, a string, problem details, HTML, nothing.

The envelope is ``ApiErrorResponse`` of the REST reference; agents that speak A2A answer with problem details.
"""

import re
from collections.abc import Mapping
from typing import Any

from foundry_rollouts.errors import Refusal
from foundry_rollouts.foundry.shapes import strict_json
from foundry_rollouts.untrusted import clean, visible_line

LONGEST = 300  #: Characters of the service's text that are kept.

_REQUEST_ID_HEADERS = ("x-request-id", "apim-request-id", "x-ms-request-id")
_REGION = "x-ms-region"
_CLASS_HEADER = "x-adc-response-details"
_NOT_TEXT = re.compile(r"<[^>]*>|\s+")


def refusal_of(status: int, headers: Mapping[str, str], content: bytes) -> Refusal:
    """Return how the cloud refused; ``code`` falls back to the platform's failure class (a header)."""
    body = parsed(content)
    error = body.get("error")
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else body
    code = error.get("code") or failure_class(headers)
    message = error.get("message") or body.get("detail") or body.get("title") or body.get("message")
    text = one_line(str(message)) if message else one_line(content.decode("utf-8", "replace"))
    return Refusal(
        status,
        one_word(code) if code else None,
        text or "no text",
        _request_id(headers, error),
        one_word(headers[_REGION]) if headers.get(_REGION) else None,
        one_word(body["id"]) if body.get("object") == "response" and body.get("id") else None,
    )


def ids_of(headers: Mapping[str, str]) -> str:
    """Return what a support ticket about an answer names, in a few words; empty where it has no such headers."""
    return refusal_of(0, headers, b"").ids


def parsed(content: bytes) -> dict[str, Any]:
    """Return the JSON object in ``content``; an empty one when there is none."""
    try:
        value = strict_json(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def failure_class(headers: Mapping[str, str]) -> str | None:
    """Return the platform's failure class, for example ``ReadinessTimeout``."""
    word = re.match(r"[A-Za-z]\w*", headers.get(_CLASS_HEADER, ""))
    return word.group() if word else None


def one_line(text: str) -> str:
    """Return ``text`` without markup, line breaks and secrets, all of it visible, cut to ``LONGEST``."""
    flat = clean(_NOT_TEXT.sub(" ", text[: 10 * LONGEST]).strip())
    flat = re.sub(r" {2,}", " ", flat)
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "…"


def one_word(code: Any) -> str:
    """Return an error code of others as it may be recorded."""
    return visible_line(one_line(str(code)))[:100]


def _request_id(headers: Mapping[str, str], error: Mapping[str, Any]) -> str | None:
    named = next((headers[name] for name in _REQUEST_ID_HEADERS if headers.get(name)), None)
    if named:
        return one_word(named.partition(",")[0])  # a gateway folds several ids into one header
    info = error.get("additionalInfo")
    inner = info.get("request_id") if isinstance(info, dict) else None
    return one_word(inner) if inner else None
