"""What is wrong with a file's format, in sentences of the form "what: how to fix"."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from foundry_rollouts.core.model.failures import ErrorKind, kind_of
from foundry_rollouts.policies.documents import Document, Location, Problem, shown

Model = TypeVar("Model", bound=BaseModel)

_MAPPING = ("a mapping", "write {key: value}")
_KINDS = {
    "string_type": ("text", "put it in quotes"),
    "int_type": ("a whole number", "write for example 10, without quotes"),
    "float_type": ("a number", "write for example 1.5, without quotes"),
    "list_type": ("a list", "write [a, b]"),
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
}
_NAME = "use letters, digits, '.', '_' and '-', at most 63, with a letter or digit at both ends"
_PATTERNS = {
    "name": _NAME,
    "notify": _NAME,
    "labels": _NAME,
    "after": "write the agent's name in full, or project/agent",
    "agents": "use letters, digits, '-', '.', '_' and the wildcards * ? [ ]",
}


def check(model: type[Model], document: Document) -> tuple[Model | None, list[Problem]]:
    """Return the document as ``model``, or None and everything that is wrong with its format."""
    nothings = [Problem(where, _NOTHING, is_about_key=True) for where in _keys_without_value(document.content, ())]
    try:
        checked = model.model_validate(document.content)
    except ValidationError as error:
        schema = _schema_of(model)
        reported = {problem.where for problem in nothings}
        problems = [_problem(details, schema) for details in error.errors(include_url=False)]
        return None, nothings + [problem for problem in problems if problem.where not in reported]
    return (None if nothings else checked), nothings


@cache
def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of ``model``; making it takes longer than all the rest of reading a policy."""
    return model.model_json_schema(by_alias=True)


_NOTHING = "there is no value here: write {} for the defaults, or leave the key out"

#: Under these keys any JSON may stand, ``null`` too.
_FREE_FORM = frozenset({"input", "schema"})


def _keys_without_value(content: Any, where: Location) -> Iterator[Location]:
    if isinstance(content, dict):
        for key in content.keys() - _FREE_FORM:
            if content[key] is None:
                yield (*where, key)
            yield from _keys_without_value(content[key], (*where, key))
    elif isinstance(content, list):
        for place, item in enumerate(content):
            yield from _keys_without_value(item, (*where, place))


def _problem(details: ErrorDetails, schema: dict[str, Any]) -> Problem:
    where = tuple(part for part in details["loc"] if not str(part).startswith("<"))
    kind = details["type"]
    if kind == "extra_forbidden" and "<approval>" in details["loc"]:
        return Problem(where, "an approval is a step of its own: move this to another step", is_about_key=True)
    if kind == "extra_forbidden":
        return Problem(where, _unknown_key(where, schema), is_about_key=True)
    if kind == "missing":
        return Problem(where[:-1], _missing(where, schema))
    return Problem(where, _sentence(details, where))


def _sentence(details: ErrorDetails, where: Location) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "sentence":
        return str(context["sentence"])
    if kind in {"enum", "literal_error"}:
        return _unknown_choice(value, str(context["expected"]))
    if kind == "string_pattern_mismatch":
        names = [part for part in where if isinstance(part, str)]
        return f"'{value}' cannot be a name here: {_PATTERNS[names[-1]]}"
    if kind in {"too_short", "string_too_short"}:
        return "the list is empty: name at least one" if kind == "too_short" else "the text is empty: write one"
    if kind in _KINDS:
        belongs, how = _KINDS[kind]
        return f"{shown(value)} stands where {belongs} belongs: {how}"
    return _bound(value, kind, context) or f"{shown(value)} is not allowed, {details['msg'].lower()}: fix it"


def _bound(value: Any, kind: str, context: dict[str, Any]) -> str | None:
    limits = {"greater_than": "more than", "greater_than_equal": "at least", "less_than_equal": "at most"}
    if kind not in limits:
        return None
    bound = next(context[name] for name in ("gt", "ge", "le") if name in context)
    return f"{value} is out of range: write {limits[kind]} {int(bound) if bound == int(bound) else bound}"


def _unknown_choice(value: Any, expected: str) -> str:
    known = [word.strip("' ") for word in expected.replace(" or ", ", ").split(", ")]
    kind = ErrorKind.RATE_LIMITED if str(value) == "429" else kind_of(f"HTTP {value}")
    if kind in known:
        return f"{shown(value)} is not known here: write {kind}, the kind of such failures"
    close = get_close_matches(str(value), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"write {_either(known)}"
    return f"{shown(value)} is not known here: {hint}"


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _unknown_key(where: Location, schema: dict[str, Any]) -> str:
    known = sorted(_keys_at(schema, where[:-1]))
    close = get_close_matches(str(where[-1]), known, n=1)
    if close:
        return f"unknown key: did you mean {close[0]}?"
    return f"unknown key: the keys here are {', '.join(known)}" if known else ("unknown key: write {}")


def _missing(where: Location, schema: dict[str, Any]) -> str:
    key = str(where[-1])
    return f"{key} is missing: add {key}" + _example_of(schema, where)


def _example_of(schema: dict[str, Any], where: Location) -> str:
    for node in _nodes_at(schema, where[:-1]):
        examples = node.get("properties", {}).get(str(where[-1]), {}).get("examples")
        if examples:
            return f", for example {where[-1]}: {_flow(examples[0])}"
    return ""


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return f'"{value}"' if isinstance(value, str) and "*" in value else str(value)


def _keys_at(schema: dict[str, Any], where: Location) -> set[str]:
    return {key for node in _nodes_at(schema, where) for key in node.get("properties", {})}


def _nodes_at(schema: dict[str, Any], where: Location) -> list[dict[str, Any]]:
    """Return every schema that may describe what stands at ``where``."""
    nodes = _resolved(schema, schema)
    for part in where:
        below = [
            node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
            for node in nodes
        ]
        nodes = [choice for node in below for choice in _resolved(node, schema)]
    return nodes


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _resolved(schema["$defs"][node["$ref"].rsplit("/", 1)[1]], schema)
    choices = node.get("anyOf") or node.get("oneOf")
    return [found for choice in choices for found in _resolved(choice, schema)] if choices else [node]
