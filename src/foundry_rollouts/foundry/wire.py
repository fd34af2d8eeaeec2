"""The cloud's JSON shapes and our words, in both directions.

Reading is lenient: what is missing is None, an unknown status is UNKNOWN. Writing is strict: what the cloud
would not take as it was meant is refused here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from foundry_rollouts.core.model.incarnation import Marks
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.refusals import one_line, one_word
from foundry_rollouts.foundry.rules import RATIO, routing_seen
from foundry_rollouts.foundry.settings import settings_of
from foundry_rollouts.ports import HOSTED, AgentSeen, SessionSeen, SessionStatus, VersionSeen, VersionStatus

Json = Mapping[str, Any]

_DISABLED = "disabled"
#: The protocols of hosted agents; whatever else is configured beside them is none.
PROTOCOLS = frozenset(
    {"responses", "invocations", "activity", "a2a", "mcp", "invocations_ws", "voice", "voice_conversation_engine"}
)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class AgentDetails:
    """One agent with what people ask about it beyond its routing."""

    seen: AgentSeen
    protocols: tuple[str, ...] = ()  #: Those the endpoint answers.
    principal: str | None = None  #: The object id of its identity, to which roles are granted.
    tells_routing: bool = True  #: False where the cloud left the endpoint out of a list.


@dataclass(frozen=True, slots=True)
class VersionDetails:
    """One version with what people ask about it beyond its status; ``definition`` is as the cloud sent it."""

    seen: VersionSeen
    agent: str
    definition: Json
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    principal: str | None = None


def agent_details(json: Json) -> AgentDetails:
    """Read an agent: ``protocols`` is the old dialect, ``protocol_configuration`` the new one."""
    endpoint = _object(json, "agent_endpoint")
    latest = _object(_object(json, "versions"), "latest")
    latest_seen = version_seen(latest) if latest else None
    configured = endpoint.get("protocol_configuration")
    protocols = configured if isinstance(configured, Mapping) and configured else endpoint.get("protocols")
    states = {str(json.get(name, "")).lower() for name in ("state", "configuration_state", "status")}
    routing, unreadable = routing_seen(_object(endpoint, "version_selector"), is_open=_DISABLED not in states)
    served = tuple(str(name) for name in protocols or ())
    return AgentDetails(
        AgentSeen(
            name=str(json.get("name") or json.get("id") or ""),
            routing=routing,
            latest=latest_seen,
            marks=_marks(json, latest, latest_seen),
            unreadable=unreadable,
            protocols=tuple(_protocol(name) for name in served if _protocol(name) in PROTOCOLS),
            disabled_by=_disabled_by(json),
            settings=settings_of(endpoint),
        ),
        protocols=served,
        principal=_object(json, "instance_identity").get("principal_id"),
        tells_routing=bool(endpoint),
    )


def _disabled_by(json: Json) -> str | None:
    state, configured = (str(json.get(name, "")).lower() for name in ("state", "configuration_state"))
    if state != _DISABLED or configured in {_DISABLED, ""}:
        return None
    return one_word(_text(json, "state_source") or "something else")


def _marks(json: Json, latest: Json, seen: VersionSeen | None) -> Marks:
    """Read what tells this agent from another of its name. The guid may stand at the latest version only."""
    return Marks(
        guid=_text(json, "agent_guid") or _text(json, "guid") or _text(latest, "agent_guid"),
        principal=_text(_object(json, "instance_identity"), "principal_id"),
        created_at=instant(json.get("created_at")),
        versions=((seen.version, seen.created_at),) if seen and seen.version else (),
    )


def _text(json: Json, key: str) -> str | None:
    value = json.get(key)
    return value.strip() or None if isinstance(value, str) else None


def unreadable_agent(name: str, why: str) -> AgentDetails:
    """Return an agent of which nothing but its name is known."""
    return AgentDetails(AgentSeen(name, Routing(()), None, unreadable=why), tells_routing=False)


def _protocol(name: str) -> str:
    """Return a protocol by its present name."""
    return "activity" if name == "activity_protocol" else name


def _declared(definition: Json) -> tuple[str, ...] | None:
    """Return the protocols that a definition declares, in either dialect; None where it does not, or not legibly."""
    found = definition.get("protocol_versions") or definition.get("container_protocol_versions")
    if not isinstance(found, list):
        return None
    names = [each.get("protocol") for each in found if isinstance(each, Mapping)]
    named = tuple(_protocol(name) for name in names if isinstance(name, str) and name)
    return named if len(named) == len(found) else None


def version_details(json: Json) -> VersionDetails:
    """Read a version whole."""
    return VersionDetails(
        version_seen(json),
        agent=str(json.get("name") or ""),
        definition=_object(json, "definition"),
        description=json.get("description"),
        metadata=json.get("metadata"),
        principal=_object(json, "instance_identity").get("principal_id"),
    )


def version_seen(json: Json) -> VersionSeen:
    """Read a version; ``error`` holds the service's code and text on one line."""
    number = str(json.get("version") or "")
    return VersionSeen(
        version=number,
        status=_status(str(json.get("status") or "")),
        word=_word(json),
        created_at=instant(json.get("created_at")),
        error=_error(json.get("error")),
        is_draft=bool(json.get("draft")) or number.startswith("draft-"),
        protocols=_declared(_object(json, "definition")),
        content=_text(_object(_object(json, "definition"), "code_configuration"), "content_hash"),
        kind=_text(_object(json, "definition"), "kind") or HOSTED,
    )


def _word(json: Json) -> str:
    status = json.get("status")
    return _shown(status) if isinstance(status, str) else ""


@lru_cache(maxsize=64)
def _shown(status: str) -> str:
    """Return a status as it may be shown; there are few of them, and each agent of a listing has one."""
    return one_word(status)[:40]


#: What the cloud says of a version, in our words; an idle one is built and able to serve: its compute is away until the
#: next call.
_STATUSES = {str(status): status for status in VersionStatus} | {"idle": VersionStatus.ACTIVE}


def _status(word: str) -> VersionStatus:
    return _STATUSES.get(word.lower(), VersionStatus.UNKNOWN)


def _error(error: Any) -> str | None:
    if isinstance(error, Mapping):
        return one_line(": ".join(str(error[key]) for key in ("code", "message") if error.get(key))) or None
    return one_line(str(error)) if error else None


def session_seen(json: Json) -> SessionSeen:
    """Read a session; the case of its status does not matter, as one of the cloud's examples is in capitals."""
    return SessionSeen(
        id=str(json.get("agent_session_id") or json.get("id") or ""),
        version=str(_object(json, "version_indicator").get("agent_version") or ""),
        created_at=instant(json.get("created_at")) or _LONG_AGO,
        status=_session_status(str(json.get("status") or "")),
        word=_word(json),
    )


def _session_status(word: str) -> SessionStatus:
    lowered = word.lower()
    known = {str(status) for status in SessionStatus}
    return SessionStatus(lowered) if lowered in known else SessionStatus.UNKNOWN


def routing_patch(routing: Routing) -> dict[str, Any]:
    """Write the weights of ``routing`` as a merge patch that leaves the rest of the endpoint alone.

    Raises UsageError unless they add up to 100; drafts cannot be routed to.
    """
    total = sum(weight for _, weight in routing.weights)
    if total != 100 or any(not 0 < weight <= 100 for _, weight in routing.weights):
        raise UsageError(f"{routing}: the weights add up to {total}, they must make 100")
    if drafts := [version for version, _ in routing.weights if version.startswith("draft-")]:
        raise UsageError(f"{', '.join(drafts)} is a draft: make it a release first, drafts take no traffic")
    rules = [
        {"type": RATIO, "agent_version": version, "traffic_percentage": weight} for version, weight in routing.weights
    ]
    return {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}


def session_request(version: str | None, session: str | None) -> dict[str, Any]:
    """Write the wish for a session; without a version the routing decides, without an id the cloud."""
    if version is not None and version.startswith("@"):
        raise UsageError(f"{version}: a session is bound to one version, name it by its number")
    wish: dict[str, Any] = {"agent_session_id": session} if session else {}
    if version is not None:
        wish["version_indicator"] = {"type": "version_ref", "agent_version": version}
    return wish


def _object(json: Json, key: str) -> Json:
    value = json.get(key)
    return value if isinstance(value, Mapping) else {}


def instant(value: Any) -> datetime | None:
    """Read unix seconds, or RFC 3339 as some answers have it; a fraction beyond microseconds is cut."""
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        pass
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
