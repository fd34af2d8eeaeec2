"""What leaves this room as text: JSON schemas for editors (Draft 2020-12), and policies as a file would say them."""

import json
from datetime import time, timedelta
from typing import Any

from pydantic import BaseModel

from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.bounds import Bounds
from foundry_rollouts.core.model.calendar import Calendar, CalendarFile, Entry, Span
from foundry_rollouts.core.model.policy import Automatic, Gate, Policy, Step, WeightStep
from foundry_rollouts.core.model.sources import Prompt, Sources
from foundry_rollouts.policies.calendar_entries import DAYS
from foundry_rollouts.policies.prompts import PromptList
from foundry_rollouts.policies.schema import PolicyEntry
from foundry_rollouts.policies.source_entries import ENTRIES
from foundry_rollouts.policies.units import span_text

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


def as_written(policy: Policy) -> dict[str, Any]:
    """Return ``policy`` as a file would say it, with every default written out; prompts by their names."""
    judge = policy.judge
    return {
        "name": policy.name,
        "agents": list(policy.agents),
        "mode": policy.mode.value,
        **_calendar(policy.calendar),
        **({"group": {"name": policy.group.name, "agents": list(policy.group.agents)}} if policy.group else {}),
        "trigger": policy.trigger.value,
        "steps": _auto(policy.automatic) if policy.automatic else [_step(step) for step in policy.steps],
        "deadline": span_text(policy.deadline),
        **({"call-limit": span_text(policy.call_limit)} if policy.call_limit else {}),
        "warm-up": span_text(policy.warm_up),
        "judge": {
            "false-rollback": _percent(judge.false_rollback),
            "missed-bad": _percent(judge.missed_bad),
            "tolerate": str(judge.tolerate),
            "bad": str(judge.bad),
        },
        "sources": _sources(policy.sources),
        "gates": [{gate.kind.value: _gate(gate)} for gate in policy.gates],
        "errors": {"ignore": [kind.value for kind in policy.ignored_errors]},
        "on-failure": policy.on_failure.value,
        "on-no-evidence": policy.on_no_evidence.value,
        "on-split": policy.on_split.value,
        "on-drift": policy.on_drift.value,
        "on-adoption": policy.on_adoption.value,
        "on-new-version": policy.on_new_version.value,
        "new-versions": policy.new_versions.value,
        "sessions-on-rollback": policy.sessions_on_rollback.value,
        "ready-within": span_text(policy.ready_within) if policy.ready_within is not None else "off",
        **({"notify": list(policy.notify)} if policy.notify else {}),
        **({"labels": list(policy.labels)} if policy.labels else {}),
        **({"after": list(policy.after)} if policy.after else {}),
    }


def _calendar(calendar: Calendar) -> dict[str, Any]:
    """Return freezes and windows as a file would say them; what is empty is left out."""
    lists = {"windows": calendar.windows, "freeze": calendar.freezes}
    return {key: [_entry(entry) for entry in entries] for key, entries in lists.items() if entries}


def _entry(entry: Entry) -> dict[str, Any]:
    reason = {"reason": entry.reason} if entry.reason else {}
    if isinstance(entry, Span):
        return {"since": entry.since.isoformat(), "until": entry.until.isoformat(), **reason}
    if isinstance(entry, CalendarFile):
        return {"calendar": entry.path, "zone": entry.zone, **reason}
    end = f"{entry.end:%H:%M}" if entry.end != time() else "24:00"
    days = [DAYS[day] for day in entry.days]
    return {"days": days, "hours": f"{entry.start:%H:%M}-{end}", "zone": entry.zone, **reason}


def _auto(automatic: Automatic) -> dict[str, Any]:
    limit = {"max": span_text(automatic.max)} if automatic.max is not None else {}
    spans = {"soak": span_text(automatic.soak), "bake": span_text(automatic.bake)}
    return {"auto": {"blast-radius": automatic.blast_radius, **spans, **limit}}


def _step(step: Step) -> dict[str, Any]:
    if not isinstance(step, WeightStep):
        return {"approval": _approval(step)}
    limit = {"max": span_text(step.max)} if step.max is not None else {}
    return {"weight": step.weight, "min": span_text(step.min), **limit}


def _approval(step: ApprovalStep) -> dict[str, Any]:
    by = {"by": list(step.by)} if step.by else {}
    limit = {"timeout": span_text(step.timeout), "then": step.then.value} if step.timeout is not None else {}
    others = {"not-author": True} if step.not_author else {}
    return {**by, **({"count": step.count} if step.count > 1 else {}), **others, **limit}


def _sources(sources: Sources) -> dict[str, Any]:
    return {name: _source(sources, name) for name in sources.names}


def _source(sources: Sources, name: str) -> dict[str, Any]:
    """Return one source as its entry is written; what is empty is left out."""
    texts = {word: _written(getattr(sources.config(name), word)) for word in ENTRIES[name].model_fields}
    return {word: text for word, text in texts.items() if text}


def _written(value: Any) -> Any:
    if isinstance(value, timedelta):
        return span_text(value)
    if not isinstance(value, tuple):
        return value
    names = [each.name for each in value if isinstance(each, Prompt)]
    return names or dict(value)


def _gate(gate: Gate) -> dict[str, Any]:
    asked = dict(zip(gate.sources, gate.weights, strict=True)) if gate.weights else list(gate.sources)
    written: dict[str, Any] = {"sources": asked}
    if gate.bounds is not None:
        written |= _bounds(gate.bounds)
    if gate.max is not None:
        written["max"] = _percent(gate.max)
    if gate.on_failure is not None:
        written["on-failure"] = gate.on_failure.value
    return written | {name: True for name, is_so in _marks(gate) if is_so}


def _bounds(bounds: Bounds) -> dict[str, Any]:
    times = {"at-least": bounds.at_least, "at-most": bounds.at_most}
    numbers: dict[str, Any] = {"min": bounds.min, "max": bounds.max}
    numbers |= {name: f"{ratio:g}x" for name, ratio in times.items() if ratio is not None}
    known = {name: number for name, number in numbers.items() if number is not None}
    return {"name": bounds.name, **known, "windows": bounds.windows}


def _marks(gate: Gate) -> tuple[tuple[str, bool], ...]:
    return ("critical", gate.is_critical), ("dry-run", gate.is_dry_run)


def _percent(share: float) -> str:
    return f"{share * 100:g}%"
