"""Matching text from outside in bounded time, whatever pattern a policy holds.

The engine's time grows with the text and never with the number of ways to match it, and no reference is ever
fetched. What cannot be promised that for is refused when the policy is read.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

from jsonschema_rs import RegexOptions, ValidationError, Validator, validator_for

from foundry_rollouts.errors import UsageError

_LINEAR = RegexOptions()


def has_pattern(text: str, pattern: str) -> bool:
    """Return whether ``pattern`` is found in ``text``. Raises UsageError for one that ``refuse_pattern`` refuses."""
    return _matcher({"pattern": pattern}).is_valid(text)


def obeys(value: Any, schema: Mapping[str, Any]) -> bool:
    """Return whether ``value`` obeys ``schema``.

    Raises UsageError for a schema that ``refuse_schema`` refuses, and for one that does not stand alone.
    """
    return _matcher(schema).is_valid(value)


def stands_alone(schema: Mapping[str, Any]) -> bool:
    """Return whether ``schema`` says all that it asks for; one that refers elsewhere can never be checked."""
    try:
        _matcher(schema)
    except ElsewhereError:
        return False
    return True


def refuse_pattern(pattern: str) -> None:
    """Raise UsageError unless ``pattern`` is a regular expression that always ends."""
    _matcher({"pattern": pattern})


def refuse_schema(schema: Mapping[str, Any]) -> None:
    """Raise UsageError unless ``schema`` is a JSON schema with patterns that always end."""
    with suppress(ElsewhereError):
        _matcher(schema)


class ElsewhereError(UsageError):
    """A schema refers to another document, which is never fetched."""


def _matcher(schema: Mapping[str, Any]) -> Validator:
    try:
        return validator_for(dict(schema), pattern_options=_LINEAR, retriever=_never_fetched)
    except (ValueError, TypeError, RecursionError) as error:
        said = error.message if isinstance(error, ValidationError) else str(error)
        raise _refusal(" ".join(said.split())) from None


def _refusal(said: str) -> UsageError:
    if said.endswith(_NO_REGEX):
        how = "write RE2 syntax, without look-around and back references"
        return UsageError(f"{said.removesuffix(_NO_REGEX)} is no regular expression that always ends: {how}")
    if said.startswith("Resource "):
        return ElsewhereError("a $ref leads to another document, and none is ever fetched: copy it into the schema")
    return UsageError(f"this is no JSON schema, {said[:200]}: fix it")


_NO_REGEX = ' is not a "regex"'


def _never_fetched(_address: str) -> NoReturn:
    raise ValueError("never fetched")
