"""An endpoint's configuration: its default, merge patches on it, and the draw of a version by weight."""

import random
from collections.abc import Callable
from typing import Any, get_args

from foundry_emulator.definitions import Protocol
from foundry_emulator.errors import FoundryError, invalid
from foundry_emulator.records import LATEST, AgentRecord, Rule

_SELECTOR = "agent_endpoint.version_selector"
_SCHEMES = ("Entra", "BotService", "BotServiceRbac", "BotServiceTenant")
EVERYTHING_TO_LATEST = (Rule(LATEST, 100),)


def default_endpoint(protocols: list[str]) -> dict[str, Any]:
    """Return the endpoint of a new agent: all traffic to ``@latest``, Responses and the given protocols, Entra."""
    return {
        "version_selector": _selector(EVERYTHING_TO_LATEST),
        "protocol_configuration": {name: {} for name in dict.fromkeys(["responses", *protocols])},
        "authorization_schemes": [{"type": "Entra"}],
    }


def patched_endpoint(current: dict[str, Any], patch: object) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7386) to an endpoint; members the cloud does not know are ignored."""
    if patch is None:
        return default_endpoint([])
    known = {"version_selector", "protocol_configuration", "protocols", "authorization_schemes"}
    wanted = {name: value for name, value in _mapping(patch, "agent_endpoint").items() if name in known}
    if "protocols" in wanted:
        # The older word for the same member: null takes it away, as RFC 7386 has it.
        names = _names([] if wanted["protocols"] is None else wanted["protocols"])
        del wanted["protocols"]
        kept = {name: current["protocol_configuration"].get(name, {}) for name in names}
        current = {**current, "protocol_configuration": kept}
    merged = merge(current, wanted)
    return {
        "version_selector": _selector(rules_of(merged)),
        "protocol_configuration": _protocols(merged),
        "authorization_schemes": _schemes(merged),
    }


def merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Return ``target`` after an RFC 7386 merge patch."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def rules_of(endpoint: dict[str, Any]) -> tuple[Rule, ...]:
    """Return the routing rules of an endpoint, or raise the 400 that refuses them."""
    selector = _mapping(endpoint.get("version_selector") or _selector(EVERYTHING_TO_LATEST), _SELECTOR)
    raw = selector.get("version_selection_rules")
    if not isinstance(raw, list) or not raw:
        raise _refused("version_selection_rules must be a non-empty list")
    rules = tuple(_rule(each) for each in raw)
    if len({rule.version for rule in rules}) < len(rules):
        raise _refused("a version is named twice")
    total = sum(rule.percentage for rule in rules)
    if total != 100:
        raise _refused(f"traffic percentages must total 100, got {total}")
    return rules


def drawn(rules: tuple[Rule, ...], random_source: random.Random, *, ignores_weights: bool) -> str:
    """Return one version by weight, or always the heaviest where the region does not split."""
    if ignores_weights:
        return max(rules, key=lambda rule: rule.percentage).version
    return random_source.choices([rule.version for rule in rules], weights=[rule.percentage for rule in rules])[0]


def served_rules(agent: AgentRecord, now: float) -> tuple[Rule, ...]:
    """Return the rules the data plane obeys now; a fresh change may still be on its way."""
    effective = [change for change in agent.served if change.effective_at <= now]
    return (effective or list(agent.served))[-1 if effective else 0].rules


def refuse_targets(rules: tuple[Rule, ...], problem_of: Callable[[str], str | None]) -> None:
    """Raise the 400 for the first rule whose version ``problem_of`` objects to."""
    for rule in rules:
        problem = None if rule.version == LATEST else problem_of(rule.version)
        if problem:
            raise _refused(problem)


def _rule(raw: object) -> Rule:
    rule = _mapping(raw, _SELECTOR)
    kind, version, share = (rule.get(name) for name in ("type", "agent_version", "traffic_percentage"))
    if kind != "FixedRatio":
        raise _refused(f"unknown rule type '{kind}'")
    if not isinstance(version, str) or not version:
        raise _refused("agent_version must be a string")
    if not isinstance(share, int) or isinstance(share, bool) or not 0 <= share <= 100:
        raise _refused("traffic_percentage must be an integer from 0 to 100")
    return Rule(version, share)


def _selector(rules: tuple[Rule, ...]) -> dict[str, Any]:
    return {
        "version_selection_rules": [
            {"type": "FixedRatio", "agent_version": rule.version, "traffic_percentage": rule.percentage}
            for rule in rules
        ]
    }


def _protocols(endpoint: dict[str, Any]) -> dict[str, Any]:
    configured = _mapping(endpoint.get("protocol_configuration", {}), "agent_endpoint.protocol_configuration")
    _names(list(configured))
    for name, settings in configured.items():
        _mapping(settings, f"agent_endpoint.protocol_configuration.{name}")
    if "a2a" in configured and "responses" not in configured:
        raise invalid(
            "A2A needs the responses protocol.",
            "agent_endpoint.protocol_configuration",
            "endpoint-protocol-not-enabled",
        )
    return configured


def _schemes(endpoint: dict[str, Any]) -> list[Any]:
    at = "agent_endpoint.authorization_schemes"
    schemes = endpoint.get("authorization_schemes", [{"type": "Entra"}])
    if not isinstance(schemes, list):
        raise invalid("authorization_schemes must be a list.", at)
    for scheme in schemes:
        if _mapping(scheme, at).get("type") not in _SCHEMES:
            raise invalid(f"Unknown authorization scheme '{scheme.get('type')}'.", at)
        _mapping(scheme.get("isolation_key_source") or {}, f"{at}.isolation_key_source")
    return schemes


def _names(names: object) -> list[str]:
    if not isinstance(names, list):
        raise invalid("protocols must be a list.", "agent_endpoint.protocols")
    for name in names:
        if name not in get_args(Protocol):
            raise invalid(f"Unknown protocol '{name}'.", "agent_endpoint.protocol_configuration")
    return names


def _mapping(raw: object, at: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise invalid(f"'{at}' must be an object.", at)
    return raw


def _refused(problem: str) -> FoundryError:
    return invalid(f"Invalid version selector: {problem}.", _SELECTOR)
