"""The JSON schemas that editors complete from (Draft 2020-12)."""

import json
from typing import Any

from pydantic import BaseModel

from foundry_rollouts.policies.prompts import PromptList
from foundry_rollouts.policies.schema import PolicyEntry

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def policy_schema() -> str:
    """Return the schema of one document of a policy file, as JSON text."""
    return _text(PolicyEntry)


def prompts_schema() -> str:
    """Return the schema of a prompts file, as JSON text."""
    return _text(PromptList)


def _text(model: type[BaseModel]) -> str:
    schema = {"$schema": DIALECT, **_tidy(model.model_json_schema(by_alias=True))}
    return json.dumps(schema, indent=2) + "\n"


def _tidy(node: Any) -> Any:
    """Return ``node`` without ``null`` as a choice or a default, and without titles that repeat the key."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        node = {**choices[0], **{key: value for key, value in node.items() if key != "anyOf"}}
    return {key: _tidy(value) for key, value in node.items() if not _is_noise(key, value)}


def _is_noise(key: str, value: Any) -> bool:
    return (key == "default" and value is None) or (key == "title" and isinstance(value, str))
