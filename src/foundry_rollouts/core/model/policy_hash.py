"""What a policy says, in twelve characters: two policies that say the same have the same hash."""

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from hashlib import sha256
from typing import Any

from foundry_rollouts.core.model.policy import Policy

#: Characters of a hash: enough to tell the policies of a project apart, and short enough to read out.
LENGTH = 12


def policy_hash(policy: Policy) -> str:
    """Return the first twelve hexadecimal digits of the SHA-256 of all that ``policy`` says, its prompts included.

    What is left at its default is left out, so that a later release that knows more keys gives the same hash to the
    same file. The place and the form of the file, and its comments, change nothing.
    """
    text = json.dumps(_plain(policy), sort_keys=True, separators=(",", ":"), default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:LENGTH]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        said = {field.name: getattr(value, field.name) for field in fields(value)}
        usual = {field.name: _default(field) for field in fields(value)}
        said = {field.name: said[field.name] for field in fields(value) if not field.metadata.get("is_place")}
        return {name: _plain(each) for name, each in said.items() if each != usual[name]}
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
