"""Reading what a caller sent: JSON objects, strict models, flags; each failure is the cloud's 4xx.

What could not be written into an answer again is refused on its way in: lone surrogates, numbers that are none,
structures hundreds of levels deep. A key given twice would mean something else to another reader, so it is refused too.
"""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from foundry_emulator.errors import FoundryError, invalid

MAX_BODY_BYTES = 64 * 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


async def whole_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the request's body, or raise the 413 as soon as it is longer than that."""
    kept = bytearray()
    async for chunk in request.stream():
        kept += chunk
        if len(kept) > limit:
            raise FoundryError(413, "request_too_large", f"The request body may have at most {limit >> 20} MB.")
    return bytes(kept)


async def json_object(request: Request, *, is_optional: bool = False) -> dict[str, Any]:
    """Return the request's body as a JSON object; an empty body is ``{}`` where the body is optional."""
    refuse_encoding(request)
    body = await whole_body(request)
    if not body and is_optional:
        return {}
    return object_of(body)


def refuse_encoding(request: Request) -> None:
    """Raise the 415 for a body that is compressed."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        message = f"Content-Encoding '{encoding}' is not supported: send the body as it is."
        raise FoundryError(415, "unsupported_media_type", message, "Content-Encoding", {"Accept-Encoding": "identity"})


def object_of(body: bytes, what: str = "request body", charset: str | None = None) -> dict[str, Any]:
    """Parse a JSON object; without a ``charset`` its first bytes tell which Unicode encoding it has."""
    try:
        text = _text(body, charset)
        from_json(text.encode(), allow_inf_nan=False)
        found = json.loads(text, object_pairs_hook=_once, parse_float=_finite)
    except (ValueError, LookupError) as error:
        raise invalid(f"The {what} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise invalid(f"The {what} must be a JSON object.")
    return found


def _text(body: bytes, charset: str | None) -> str:
    # Python reads UTF-16 without a mark in this machine's order; JSON's own first characters say which it is.
    is_guessed = charset is None or charset.lower() in ("utf-16", "utf-32")
    return body.decode(json.detect_encoding(body) if charset is None or is_guessed else charset).removeprefix("\ufeff")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key '{name}' is given twice")
        found[name] = value
    return found


def _finite(digits: str) -> float:
    if not isfinite(number := float(digits)):
        raise ValueError(f"the number {digits} is out of range")
    return number


def parsed(model: type[Model], raw: object, at: str = "") -> Model:
    """Validate against a strict model; the 400 names the first wrong field under ``at``."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise refusal_of(error, at) from error


def refusal_of(error: ValidationError, at: str = "") -> FoundryError:
    """Return the 400 for the first thing a model did not accept."""
    first = error.errors()[0]
    param = ".".join([*([at] if at else []), *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        return invalid(f"Unknown field '{param}'.", param)
    return invalid(f"Invalid value for '{param}': {first['msg']}.", param)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean query parameter, false when absent."""
    text = query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise invalid(f"Invalid value '{text}' for '{name}': expected true or false.", name)
    return text == "true"
