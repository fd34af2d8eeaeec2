"""Agents, versions and sessions as listings show them: plain items, and the columns of their tables.

Values of environment variables are never shown, for they may be secrets.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from foundry_rollouts.cli.output import Column, Item, column
from foundry_rollouts.ports import HOSTED

if TYPE_CHECKING:
    from foundry_rollouts.core.model.routing import Routing
    from foundry_rollouts.foundry.wire import AgentDetails, VersionDetails
    from foundry_rollouts.ports import SessionSeen, VersionSeen


NAMELESS = "(no name)"


def agent_item(agent: "AgentDetails") -> dict[str, Any]:
    latest = agent.seen.latest
    return {
        "name": agent.seen.name or NAMELESS,
        "kind": agent.seen.kind,
        "state": state_of(agent.seen.routing),
        "disabled_by": agent.seen.disabled_by,
        "weights": dict(agent.seen.routing.weights),
        "latest": latest.version if latest else None,
        "latest_status": latest.status_word if latest else None,
        "protocols": list(agent.protocols),
        "principal": agent.principal,
        "unreadable": agent.seen.unreadable,
    }


def state_of(routing: "Routing") -> str:
    """Return the cloud's word for whether the endpoint answers."""
    return "enabled" if routing.is_open else "disabled"


def routing_item(agent: str, routing: "Routing", disabled_by: str | None = None) -> dict[str, Any]:
    return {
        "agent": agent,
        "state": state_of(routing),
        "disabled_by": disabled_by,
        "pinned": routing.is_pinned,
        "weights": dict(routing.weights),
    }


def version_item(version: "VersionDetails") -> dict[str, Any]:
    from foundry_rollouts.foundry.definition import definition_seen

    definition = definition_seen(version.definition)
    code = definition.code
    return {
        **seen_item(version.seen),
        "draft": version.seen.is_draft,
        "kind": version.seen.kind,
        "model": version.definition.get("model"),
        "instructions": version.definition.get("instructions"),
        "image": definition.image,
        "runtime": code.runtime if code else None,
        "entry_point": list(code.entry_point) if code else None,
        "bundled": code.is_bundled if code else None,
        "sha256": (version.definition.get("code_configuration") or {}).get("content_hash"),
        "cpu": definition.cpu or None,
        "memory": definition.memory or None,
        "protocols": dict(definition.protocols),
        "environment": sorted(definition.environment),
        "description": version.description,
        "metadata": dict(version.metadata or {}),
        "principal": version.principal,
    }


def seen_item(version: "VersionSeen") -> dict[str, Any]:
    return {
        "version": version.version,
        "status": version.status_word,
        "created_at": instant_text(version.created_at),
        "error": version.error,
    }


def session_item(session: "SessionSeen") -> dict[str, Any]:
    return {
        "id": session.id,
        "version": session.version,
        "status": session.status_word,
        "created_at": instant_text(session.created_at),
    }


def instant_text(at: datetime | None) -> str | None:
    """Return a time as listings write it; None when it is not known."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


def _state(item: Item) -> str:
    return f"{item['state']} by {item['disabled_by']}" if item["disabled_by"] else str(item["state"])


def _yes(name: str) -> Column:
    return Column(name, lambda item: "yes" if item[name] else "no")


def _made_of(item: Item) -> str:
    if item["kind"] != HOSTED:
        return ", ".join(filter(None, (item["kind"], item["model"])))
    return str(item["image"] or f"code, {item['runtime']}" + (", bundled" if item["bundled"] else ""))


def _size(item: Item) -> str | None:
    return f"{item['cpu']}/{item['memory']}" if item["cpu"] else None


AGENTS = (
    *map(column, ("name", "kind")),
    Column("state", _state),
    Column("weights", lambda item: f"unreadable: {item['unreadable']}" if item["unreadable"] else item["weights"]),
    Column("latest", lambda item: f"{item['latest']} ({item['latest_status']})" if item["latest"] else None),
    column("protocols"),
)
AGENT = (*AGENTS, column("principal"))
ROUTING = (column("agent"), Column("state", _state), _yes("pinned"), column("weights"))
VERSIONS = (
    *map(column, ("version", "status", "created_at")),
    Column("made of", _made_of),
    Column("size", _size),
    *map(column, ("description", "error")),
)
VERSION = (
    *map(column, ("version", "status", "error", "created_at")),
    _yes("draft"),
    Column("made of", _made_of),
    *map(column, ("instructions", "entry_point", "sha256")),
    Column("size", _size),
    *map(column, ("protocols", "environment", "description", "metadata", "principal")),
)
SESSIONS = tuple(map(column, ("id", "version", "status", "created_at")))
