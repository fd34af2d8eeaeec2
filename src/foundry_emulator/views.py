"""Records as the JSON the cloud answers with."""

from typing import Any

from foundry_emulator.records import AgentRecord, DisabledBy, Identity, SessionRecord, VersionRecord


def agent_view(agent: AgentRecord, latest: VersionRecord | None) -> dict[str, Any]:
    """Return the ``agent`` object; it names its enabled protocols in both dialects."""
    hidden = {
        "state_source": agent.disabled_by,
        "digital_worker_type": agent.digital_worker_type,
    }
    return {
        "object": "agent",
        "id": agent.key.name,
        "name": agent.key.name,
        "state": "enabled" if agent.is_open else "disabled",
        "configuration_state": "enabled" if agent.is_enabled else "disabled",
        "versions": {"latest": version_view(latest, agent) if latest else None},
        "agent_endpoint": _endpoint(agent),
        "instance_identity": {**_identity(agent.instance), "status": _status(agent, "agent_instance_identity")},
        "blueprint": {**_identity(agent.blueprint), "status": _status(agent, "agent_blueprint")},
        "blueprint_reference": _blueprint_reference(agent),
        "agent_card": agent.card,
        **{name: value for name, value in hidden.items() if value is not None},
    }


def version_view(version: VersionRecord, agent: AgentRecord) -> dict[str, Any]:
    """Return the ``agent.version`` object; a failed one always carries its error."""
    view: dict[str, Any] = {
        "object": "agent.version",
        "id": f"{version.agent.name}:{version.version}",
        "name": version.agent.name,
        "version": version.version,
        "description": version.description,
        "created_at": int(version.created_at),
        "metadata": version.metadata,
        "draft": version.is_draft,
        "status": version.status,
        "definition": version.definition,
        "instance_identity": _identity(agent.instance),
        "blueprint": _identity(agent.blueprint),
        "blueprint_reference": _blueprint_reference(agent),
        "agent_guid": agent.guid,
    }
    if version.error is not None:
        view["error"] = version.error
    return view


def session_view(session: SessionRecord) -> dict[str, Any]:
    """Return the session object, times in unix seconds."""
    return {
        "agent_session_id": session.key.id,
        "version_indicator": {"type": "version_ref", "agent_version": session.version},
        "status": session.status,
        "created_at": int(session.created_at),
        "last_accessed_at": int(session.last_accessed_at),
        "expires_at": int(session.expires_at),
        "stopped_at": None if session.stopped_at is None else int(session.stopped_at),
    }


def _endpoint(agent: AgentRecord) -> dict[str, Any]:
    approval = agent.publish_approval_status
    return {
        **agent.endpoint,
        "protocols": list(agent.endpoint["protocol_configuration"]),
        **({"publish_approval_status": approval} if approval else {}),
    }


def _status(agent: AgentRecord, identity: DisabledBy) -> str:
    return "disabled" if agent.disabled_by == identity else "active"


def _identity(identity: Identity) -> dict[str, str]:
    return {"principal_id": identity.principal_id, "client_id": identity.client_id}


def _blueprint_reference(agent: AgentRecord) -> dict[str, str]:
    return {"type": "ManagedAgentIdentityBlueprint", "blueprint_id": agent.blueprint_id}
