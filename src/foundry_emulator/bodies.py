"""Reading what a caller sent: JSON objects, strict models, flags; each failure is the cloud's 400."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from foundry_emulator.errors import FoundryError, invalid

Model = TypeVar("Model", bound=BaseModel)


async def json_object(request: Request, *, is_optional: bool = False) -> dict[str, Any]:
    """Return the request's body as a JSON object; an empty body is ``{}`` where the body is optional."""
    body = await request.body()
    if not body and is_optional:
        return {}
    return object_of(body)


def object_of(text: bytes | str) -> dict[str, Any]:
    """Parse a JSON object."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise invalid("The request body must be a JSON object.")
    return found


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
