"""An endpoint's settings beside its rules: what it had before a change of ours, and what it lost by it."""

import json
from collections.abc import Mapping
from typing import Any

RULES = "version_selector"
_ABSENT: Any = object()
#: Made once: a listing writes the settings of tens of thousands of agents.
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def settings_of(endpoint: Mapping[str, Any]) -> str:
    """Return everything but the rules, as JSON that is the same for the same settings."""
    rest = {name: value for name, value in endpoint.items() if name != RULES}
    return _CANONICAL.encode(rest)


def lost(before: str, after: str) -> dict[str, Any]:
    """Return the merge patch that puts back what was there ``before`` and is gone or changed ``after``.

    What came meanwhile stays.
    """
    return _lost(json.loads(before or "{}"), json.loads(after or "{}"))


def _lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for name, was in before.items():
        now = after.get(name, _ABSENT)
        if was is None or now == was:
            continue
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            if inner := _lost(was, now):
                patch[name] = inner
        elif isinstance(was, list) and isinstance(now, list):
            if any(each not in now for each in was):
                patch[name] = [*was, *(each for each in now if each not in was)]
        else:
            patch[name] = was
    return patch
