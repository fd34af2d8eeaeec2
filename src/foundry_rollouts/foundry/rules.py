"""Routing rules as the cloud sends them: read whole, or not at all.

A rule of a kind that we do not know decides about traffic too. Who ignored it, or put rules of ours in its place, would
change what somebody else set up; so the routing counts as unreadable, and the sentence says why.
"""

from collections.abc import Mapping
from typing import Any

from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.untrusted import clean

RATIO = "FixedRatio"  #: The one kind of rule that we know.
LONGEST = 60  #: Characters of the cloud's words that are repeated.


def routing_seen(selector: Mapping[str, Any], *, is_open: bool) -> tuple[Routing, str | None]:
    """Return the routing of a version selector, or one without versions and why it cannot be read."""
    rules = selector.get("version_selection_rules")
    if rules is None:
        return Routing.of({LATEST: 100}, is_open=is_open), None  # the default of an endpoint that nobody configured
    if not isinstance(rules, list):
        return Routing((), is_open), f"its rules are {_shown(rules)} and no list"
    weights: dict[str, int] = {}
    for place, rule in enumerate(rules, start=1):
        if wrong := _fault(rule):
            return Routing((), is_open), f"rule {place} of {len(rules)} {wrong}"
        version = rule["agent_version"]
        if version in weights:
            return Routing((), is_open), f"rule {place} of {len(rules)} names version {_shown(version)} a second time"
        weights[version] = int(rule["traffic_percentage"])
    if (total := sum(weights.values())) != 100:
        return Routing((), is_open), f"the percentages of its {len(rules)} rules add up to {total}, not to 100"
    return Routing.of(weights, is_open=is_open), None


def _fault(rule: Any) -> str | None:
    if not isinstance(rule, Mapping):
        return f"is {_shown(rule)} and no object"
    kind = rule.get("type")
    if not isinstance(kind, str):
        return "has no type"
    if kind.casefold() != RATIO.casefold():
        return f"is of the type {_shown(kind)}, and {RATIO} is the only one known here"
    version = rule.get("agent_version")
    if not isinstance(version, str) or not version:
        return f"names the version {_shown(version)}, which is no text"
    if not _is_percentage(rule.get("traffic_percentage")):
        percentage = _shown(rule["traffic_percentage"]) if "traffic_percentage" in rule else "none"
        return f"gives version {_shown(version)} the percentage {percentage}: it is no whole number from 0 to 100"
    return None


def _is_percentage(value: Any) -> bool:
    """Whether JSON's number is a whole one from 0 to 100; JSON itself does not tell 90 from 90.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= 100 and value == int(value)


def _shown(value: Any) -> str:
    text = " ".join(clean(repr(value)).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
